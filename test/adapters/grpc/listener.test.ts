import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createListener, type Listener } from '../../../src/adapters/grpc/listener.js'
import { until } from '../../support/plugin.js'

let folder: string
let path: string
let listener: Listener
let server: Server
let accepted: Socket[]
let failures: string[]
const clients: Socket[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kms-listener-'))
  path = join(folder, 's')
  accepted = []
  failures = []
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  listener.destroyAll()
  await listener.close()
  rmSync(folder, { recursive: true })
})

async function listen(limits: { maxConnections?: number; firstByteTimeoutMs?: number }): Promise<void> {
  listener = createListener(
    { maxConnections: 4, firstByteTimeoutMs: 60_000, ...limits },
    (socket) => {
      accepted.push(socket)
      socket.pipe(socket)
    },
    (reason) => failures.push(reason),
  )
  server = listener.open()
  server.listen(path)
  await once(server, 'listening')
}

async function dial(): Promise<Socket> {
  const client = connect(path)
  // A destroyed peer shows as a reset or as an end.
  client.on('error', () => undefined)
  clients.push(client)
  await once(client, 'connect')
  return client
}

async function echo(client: Socket, text: string): Promise<string> {
  client.write(text)
  const [bytes] = (await once(client, 'data')) as [Buffer]
  return bytes.toString()
}

async function closed(client: Socket): Promise<void> {
  client.resume()
  if (!client.closed) await once(client, 'close')
}

describe('a connection', () => {
  test('that says nothing is dropped and was never accepted', async () => {
    await listen({ firstByteTimeoutMs: 50 })
    await closed(await dial())
    expect(accepted).toHaveLength(0)
  })

  test('that has spoken once may be silent afterwards', async () => {
    await listen({ firstByteTimeoutMs: 50 })
    const talker = await dial()
    expect(await echo(talker, 'first')).toBe('first')
    // A silent one that came later is gone: so the time limit of the talker has passed too.
    await closed(await dial())
    expect(await echo(talker, 'second')).toBe('second')
  })

  test('is handed over with its first bytes unread', async () => {
    await listen({})
    expect(await echo(await dial(), 'PRI * HTTP/2.0')).toBe('PRI * HTTP/2.0')
  })

  test('above the limit is dropped, and those that are there stay', async () => {
    await listen({ maxConnections: 2 })
    const [first, second] = [await dial(), await dial()]
    expect(await echo(first, 'a')).toBe('a')
    expect(await echo(second, 'b')).toBe('b')
    await closed(await dial())
    expect(await echo(first, 'c')).toBe('c')
  })

  test('that is silent counts against the limit too', async () => {
    await listen({ maxConnections: 1 })
    await dial()
    await closed(await dial())
  })

  test('may come as soon as another has gone', async () => {
    await listen({ maxConnections: 1 })
    const first = await dial()
    expect(await echo(first, 'a')).toBe('a')
    first.destroy()
    await closed(accepted[0]!)
    expect(await echo(await dial(), 'b')).toBe('b')
  })

  test('that is reset before or after its first byte ends nothing but itself', async () => {
    await listen({})
    ;(await dial()).destroy()
    const talker = await dial()
    await echo(talker, 'a')
    accepted[0]!.destroy(new Error('reset'))
    await closed(talker)
    expect(await echo(await dial(), 'b')).toBe('b')
  })
})

describe('the listener', () => {
  test('says so and lives on when a connection cannot be accepted', async () => {
    await listen({})
    const error = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' })
    server.emit('error', error)
    expect(failures).toEqual(['EMFILE'])
    expect(await echo(await dial(), 'a')).toBe('a')
  })

  test('that is closed drops the silent at once, and waits for those that have spoken', async () => {
    await listen({})
    const [silent, talker] = [await dial(), await dial()]
    expect(await echo(talker, 'a')).toBe('a')
    let isClosed = false
    const all = listener.close().then(() => (isClosed = true))
    await closed(silent)
    expect(await echo(talker, 'b')).toBe('b')
    expect(isClosed).toBe(false)
    talker.destroy()
    await all
    await listener.close()
  })

  test('ends every connection when it is told to, silent or not', async () => {
    await listen({})
    const [silent, talker] = [await dial(), await dial()]
    await echo(talker, 'a')
    await until(async () => new Promise((resolve) => server.getConnections((_e, n) => resolve(n === 2))))
    listener.destroyAll()
    await Promise.all([closed(silent), closed(talker)])
  })
})
