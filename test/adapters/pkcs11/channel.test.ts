import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Channel, MAX_MESSAGE_BYTES } from '../../../src/adapters/backends/pkcs11/shared/channel.js'
import { until } from '../../support/plugin.js'

let dir: string
/** Two ends of one connection. */
let near: Socket
let far: Socket
let messages: unknown[]
let broken: string[]

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kmsplugin-channel-'))
  const path = join(dir, 'socket')
  const server = createServer().listen(path)
  await once(server, 'listening')
  near = connect(path)
  ;[far] = (await once(server, 'connection')) as [Socket]
  server.close()
  far.on('error', () => undefined)
  messages = []
  broken = []
})

afterEach(async () => {
  near.destroy()
  far.destroy()
  await rm(dir, { recursive: true })
})

/** Hears what arrives at the near end. */
function listen(): Channel {
  return new Channel(near, {
    message: (value) => messages.push(value),
    broken: (reason) => broken.push(reason),
  })
}

describe('the channel between the plugin and its HSM process', () => {
  test('bytes that are no message break it once, and nothing is thrown or delivered', async () => {
    listen()
    far.write(Buffer.from([0, 0, 0, 5, 1, 2, 3, 4, 5]))
    await until(() => broken.length > 0 && near.closed)
    expect(broken).toHaveLength(1)
    expect(messages).toEqual([])
  })

  test('text that a library prints to the wrong descriptor breaks it before it is stored', async () => {
    listen()
    far.write('libvendor: warning: something\n')
    await until(() => broken.length > 0)
    expect(messages).toEqual([])
  })

  test('a message longer than any of ours is refused by its length alone', async () => {
    listen()
    const length = Buffer.alloc(4)
    length.writeUInt32BE(MAX_MESSAGE_BYTES + 1)
    far.write(length)
    await until(() => broken.length > 0)
    expect(messages).toEqual([])
  })

  test('random bytes behind a right length and the head of V8 never throw', async () => {
    listen()
    for (let i = 0; i < 500 && broken.length === 0; i++) {
      far.write(Buffer.concat([Buffer.from([0, 0, 0, 22, 0xff, 0x0f]), randomBytes(20)]))
    }
    await until(() => broken.length > 0)
  })

  test('the end of the other side is told once', async () => {
    listen()
    far.end()
    await until(() => near.closed)
    expect(broken).toHaveLength(1)
  })

  test('messages arrive whole and in order, however the bytes are cut', async () => {
    const recorded: Buffer[] = []
    near.on('data', (chunk: Buffer) => recorded.push(Buffer.from(chunk)))
    const sender = new Channel(far, { message: () => undefined, broken: () => undefined })
    const sent = [{ type: 'a', dek: randomBytes(32) }, { type: 'b' }, { type: 'c', text: 'x'.repeat(3000) }]
    for (const message of sent) sender.send(message)
    await until(() => Buffer.concat(recorded).length > 3000 + 32)
    near.removeAllListeners('data')
    listen()
    for (const byte of Buffer.concat(recorded)) near.emit('data', Buffer.of(byte))
    expect(messages).toEqual(sent)
  })

  test('what was sent is a copy: the sender may wipe its bytes at once', async () => {
    listen()
    const sender = new Channel(far, { message: () => undefined, broken: () => undefined })
    const dek = Buffer.alloc(32, 7)
    sender.send({ dek })
    dek.fill(0)
    await until(() => messages.length > 0)
    expect(messages).toEqual([{ dek: Buffer.alloc(32, 7) }])
  })
})
