import { once } from 'node:events'
import { request } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { connect, createServer } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { AddressInfo, Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, describe, expect, test } from 'vitest'
import { startHealthServer } from '../../../src/adapters/observability/health_server.js'
import type { HealthServer, HealthServerOptions } from '../../../src/adapters/observability/health_server.js'
import { createPrometheusMetrics } from '../../../src/adapters/observability/prometheus_metrics.js'
import { KmsError } from '../../../src/ports/errors.js'
import type { HealthReport } from '../../../src/ports/health.js'
import { silentLogger } from '../../../src/ports/logger.js'

const HOST = '127.0.0.1'
const healthy: HealthReport = {
  ready: true,
  keys: [
    { key: 'hsm', primary: true, outcome: 'OK', ageMs: 1_234 },
    { key: 'old', primary: false, outcome: 'untested' },
  ],
}
const broken: HealthReport = {
  ready: false,
  keys: [{ key: 'hsm', primary: true, outcome: 'ERR_BACKEND_UNREACHABLE', ageMs: 61_000 }],
}

let server: HealthServer | undefined
const sockets: Socket[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await server?.close()
  server = undefined
})

async function start(options: Partial<HealthServerOptions> = {}): Promise<HealthServer> {
  server = await startHealthServer({
    host: HOST,
    port: 0,
    path: '/healthz',
    livePath: '/livez',
    health: { report: () => healthy },
    scrape: async () => 'metric 1\n',
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    logger: silentLogger,
    ...options,
  })
  return server
}

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

async function ask(path: string, method = 'GET', body?: string, host = HOST): Promise<Answer> {
  const sent = request({ host, port: server!.port, path, method, agent: false })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return { status: response.statusCode, headers: response.headers, body: await text(response) }
}

/** A connection that sends `bytes` and collects what comes until the server hangs up. */
function dial(bytes: string): { socket: Socket; answer: Promise<string> } {
  const socket = connect(server!.port, HOST)
  sockets.push(socket)
  socket.on('error', () => {})
  let got = ''
  socket.on('data', (chunk: Buffer) => (got += chunk.toString('latin1')))
  socket.write(bytes)
  return { socket, answer: new Promise((resolve) => socket.on('close', () => resolve(got))) }
}

const hasIpv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1'),
)
const loopbacks = hasIpv6 ? [HOST, '::1'] : [HOST]

test(`the address :: is every interface of this machine: ${loopbacks.join(', ')}`, async () => {
  await start({ host: '::' })
  for (const host of loopbacks) expect((await ask('/livez', 'GET', undefined, host)).status).toBe(200)
})

test('the configured path of liveness answers 200 while the one of readiness does not', async () => {
  await start({ path: '/health', livePath: '/live', health: { report: () => broken } })
  expect(await ask('/live')).toMatchObject({ status: 200, body: 'ok\n' })
  expect((await ask('/livez')).status).toBe(200)
  expect((await ask('/health')).status).toBe(503)
  expect((await ask('/healthz')).status).toBe(404)
})

describe('what it does not answer', () => {
  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])('%s is not allowed', async (method) => {
    await start()
    const { status, headers } = await ask('/readyz', method, method.startsWith('P') ? 'body' : undefined)
    expect(status).toBe(405)
    expect(headers.allow).toBe('GET, HEAD')
  })

  test.each([
    '/',
    '/Readyz',
    '/readyz/',
    '/metrics/..',
    '//livez',
    '/healthz/other',
    '/%72eadyz',
    '/debug/pprof',
  ])('%s is not found', async (path) => {
    await start()
    expect((await ask(path)).status).toBe(404)
  })

  test.each([
    ['garbage', '\u0000\u0001\u0002\u0003garbage\r\n\r\n'],
    ['TLS', '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['no Host', 'GET /livez HTTP/1.1\r\n\r\n'],
    ['two lengths', 'POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['headers without end', `GET /livez HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}`],
    ['a tunnel', 'CONNECT etcd:2379 HTTP/1.1\r\nHost: etcd:2379\r\n\r\n'],
  ])('%s is refused without a page, and the next client is served', async (_, bytes) => {
    await start()
    expect(await dial(bytes).answer).not.toContain('200 OK')
    expect((await ask('/livez')).status).toBe(200)
  })

  test('a client that never ends its headers is cut off', { timeout: 30_000 }, async () => {
    await start()
    const slow = dial('GET /livez HTTP/1.1\r\nHost: a\r\n')
    const drip = setInterval(() => slow.socket.write('X: y\r\n'), 500)
    const silent = dial('')
    try {
      expect(await slow.answer).toContain('408 Request Timeout')
      expect(await silent.answer).not.toContain('200 OK')
    } finally {
      clearInterval(drip)
    }
  })

  test('the 65th connection is refused', async () => {
    await start()
    const first = Array.from({ length: 64 }, () => dial(''))
    await Promise.all(first.map(async ({ socket }) => once(socket, 'connect')))
    expect(await dial('GET /livez HTTP/1.1\r\nHost: a\r\n\r\n').answer).toBe('')
  })

  test('a connection serves one request, however many are sent', async () => {
    await start()
    const get = 'GET /livez HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n'
    const answer = await dial(get.repeat(100)).answer
    expect(answer.match(/HTTP\/1.1 200 OK/g)).toHaveLength(1)
    expect(answer).toContain('Connection: close')
  })

  test('clients that hang up at once do no harm', async () => {
    await start()
    const gone = Array.from({ length: 50 }, () => dial('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n'))
    for (const { socket } of gone) socket.resetAndDestroy()
    await Promise.all(gone.map(async ({ answer }) => answer))
    await expect.poll(async () => ask('/livez').catch(() => undefined)).toMatchObject({ status: 200 })
  })
})

describe('liveness', () => {
  test.each(['/livez', '/healthz/liveness'])('%s is this process alone', async (path) => {
    await start({ health: { report: () => broken } })
    expect(await ask(path)).toMatchObject({ status: 200, body: 'ok\n' })
  })
})

describe('readiness', () => {
  const paths = ['/readyz', '/healthz', '/healthz/readiness', '/readyz?verbose=1']

  test.each(paths)('%s is 503 while the primary fails, and says why', async (path) => {
    await start({ health: { report: () => broken } })
    expect(await ask(path)).toMatchObject({
      status: 503,
      body: 'not ready\nhsm: primary, ERR_BACKEND_UNREACHABLE, probed 61.0 s ago\n',
    })
  })

  test.each(paths)('%s is 200 with one line for every key', async (path) => {
    await start()
    expect(await ask(path)).toMatchObject({
      status: 200,
      body: 'ready\nhsm: primary, OK, probed 1.2 s ago\nold: decrypt-only, untested, not probed yet\n',
    })
  })

  test('is asked anew each time', async () => {
    let report = broken
    await start({ health: { report: () => report } })
    expect((await ask('/readyz')).status).toBe(503)
    report = healthy
    expect((await ask('/readyz')).status).toBe(200)
  })

  test('has a configured path, which hides no other', async () => {
    await start({ path: '/livez', health: { report: () => broken } })
    expect((await ask('/livez')).status).toBe(200)
    expect((await ask('/livez/readiness')).status).toBe(503)
    await server!.close()
    await start({ path: '/' })
    expect((await ask('/')).status).toBe(200)
    expect((await ask('/liveness')).status).toBe(200)
  })
})

describe('every answer', () => {
  test.each(['/livez', '/readyz', '/metrics', '/nothing'])(
    '%s is not cached and not guessed at',
    async (path) => {
      await start()
      const { headers } = await ask(path)
      expect(headers).toMatchObject({
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        connection: 'close',
      })
      expect(headers['content-type']).toMatch(/^text\/plain/)
    },
  )

  test('to HEAD is that to GET without its body', async () => {
    await start()
    for (const path of ['/readyz', '/metrics', '/nothing']) {
      const [get, head] = [await ask(path), await ask(path, 'HEAD')]
      expect(head.body).toBe('')
      expect(get.body).not.toBe('')
      expect({ ...head.headers, date: '' }).toEqual({ ...get.headers, date: '' })
    }
  })
})

describe('metrics', () => {
  test('are those of the registry in its content type', async () => {
    const metrics = createPrometheusMetrics({ version: '1', node: '2', droppedLogLines: () => 0 })
    await start({ scrape: async () => metrics.scrape(), contentType: metrics.contentType })
    const { status, headers, body } = await ask('/metrics')
    expect(status).toBe(200)
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(body).toContain('kmsplugin_build_info{version="1",node="2"} 1')
  })

  test('that fail are a 500 without a reason, and the reason is logged', async () => {
    const logged: unknown[] = []
    const logger = { ...silentLogger, error: (...line: unknown[]) => void logged.push(line) }
    await start({ logger, scrape: async () => Promise.reject(new Error('the reason')) })
    const { status, body } = await ask('/metrics')
    expect(status).toBe(500)
    expect(body).not.toContain('the reason')
    expect(logged).toEqual([[expect.any(String), { path: '/metrics', reason: 'the reason' }]])
  })
})

describe('start and end', () => {
  test('a port in use is a mistake of the configuration that names the place', async () => {
    const other = createServer().listen(0, HOST)
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    try {
      const refusal = await start({ port }).catch((error: unknown) => error)
      expect(refusal).toBeInstanceOf(KmsError)
      expect(refusal).toMatchObject({ code: 'ERR_CONFIG_INVALID' })
      expect((refusal as KmsError).message).toContain(`health.address: cannot listen on ${HOST} port ${port}`)
    } finally {
      other.close()
    }
  })

  test('so is an address that is not ours', async () => {
    await expect(start({ host: '192.0.2.1' })).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })

  test('close ends idle and busy connections and may be called twice', async () => {
    let asked = 0
    await start({
      scrape: async () => {
        asked++
        return new Promise(() => {})
      },
    })
    const idle = dial('')
    const busy = dial('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n')
    await once(idle.socket, 'connect')
    await expect.poll(() => asked).toBe(1)
    await server!.close()
    await server!.close()
    expect(await idle.answer).toBe('')
    expect(await busy.answer).toBe('')
    await expect(ask('/livez')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})
