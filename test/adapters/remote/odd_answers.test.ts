/** What becomes of a request when the other end speaks HTTP and says something that nobody expects? */
import { createServer, type AddressInfo, type Server } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { HttpClient } from '../../../src/adapters/backends/remote/http_client.js'
import { silentLogger } from '../../../src/ports/logger.js'
import { outcomeOf } from '../../doubles/outcome.js'

const TIMEOUT_MS = 500

/** Answers every request with these bytes, and closes the connection where told so. */
async function serverOf(answer: string, closes: boolean): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => (closes ? socket.end(answer) : socket.write(answer)))
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

describe.each([
  ['left open', false],
  ['closed', true],
] as const)('a request ends, over a connection that is %s', (_name, closes) => {
  let server: Server
  let client: HttpClient
  afterEach(() => {
    client.close()
    server.close()
  })

  test.each([
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'],
    ['hints and nothing else', 'HTTP/1.1 103 Early Hints\r\n\r\n'],
    ['a body that is cut', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123'],
    ['chunks that are none', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n'],
    ['a header without end', `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`],
    ['nothing', ''],
  ])('when the answer is %s', async (_answer, answer) => {
    server = await serverOf(answer, closes)
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    const options = { url, service: 'the service', tls: {}, timeoutMs: TIMEOUT_MS, logger: silentLogger }
    client = new HttpClient(options)
    const outcome = await outcomeOf(client.send({ method: 'POST', path: '/', body: '{}' }))
    expect(['ERR_BACKEND_UNREACHABLE', 'ERR_DEADLINE_EXCEEDED']).toContain(outcome)
  })
})
