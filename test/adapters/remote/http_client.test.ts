import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { HttpClient } from '../../../src/adapters/backends/remote/http_client.js'
import { KmsError } from '../../../src/ports/errors.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { makeAuthority, PrivateFiles, type Authority } from '../../support/certificates.js'
import { FakeServer, type FakeRequest } from '../../support/fakes/fake_server.js'
import { takeThreads } from '../../support/busy_threads.js'
import { FaultProxy } from '../../support/fault_proxy.js'
import { TunnelProxy } from '../../support/tunnel_proxy.js'

const GUARD_MS = 20_000

describe('a client of a service over HTTP', () => {
  let authority: Authority
  let files: PrivateFiles
  let server: FakeServer
  let logger: RecordingLogger
  const clients: HttpClient[] = []

  const echo = (request: FakeRequest) => ({
    status: 200,
    body: { path: request.url.pathname, name: request.clientName, said: request.body.toString() },
  })

  const clientOf = (url: string, tls = {}, timeoutMs = GUARD_MS): HttpClient => {
    const caFile = files.write('ca.pem', authority.cert)
    const options = { url: new URL(url), service: 'the service', tls: { caFile, ...tls }, timeoutMs, logger }
    const client = new HttpClient(options)
    clients.push(client)
    return client
  }

  const get = { method: 'GET', path: '/x' } as const

  const failureOf = async (call: Promise<unknown>): Promise<KmsError> => {
    const error: unknown = await call.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (error instanceof KmsError) return error
    throw new Error(`no KmsError: ${String(error)}`)
  }

  beforeEach(async () => {
    authority = await makeAuthority()
    files = new PrivateFiles()
    logger = new RecordingLogger()
    const { cert, key } = await authority.issue({ names: ['127.0.0.1', 'kms.example.com'] })
    server = await FakeServer.start(echo, {
      cert,
      key,
      ca: authority.cert,
      requestCert: true,
      rejectUnauthorized: false,
    })
  })

  afterEach(async () => {
    vi.unstubAllEnvs()
    for (const client of clients.splice(0)) client.close()
    await server.close()
    files.remove()
  })

  test('puts the path of the service before that of the request and sends the body', async () => {
    const client = clientOf(`${server.url}/base/`)
    const { status, body } = await client.send({ method: 'POST', path: '/keys/a%2Fb', body: 'hello' })
    expect([status, JSON.parse(body.toString())]).toMatchObject([
      200,
      { path: '/base/keys/a%2Fb', said: 'hello' },
    ])
  })

  test('hands on answers of any status but redirects', async () => {
    const client = clientOf(server.url)
    for (const status of [201, 204, 400, 403, 404, 429, 500, 503]) {
      server.failNext({ status, headers: { 'x-it': 'yes' } })
      expect(await client.send(get)).toMatchObject({ status, headers: { 'x-it': 'yes' } })
    }
  })

  test('speaks no TLS older than 1.2', async () => {
    const { cert, key } = await authority.issue()
    const old = await FakeServer.start(echo, {
      cert,
      key,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'ALL:@SECLEVEL=0',
    })
    try {
      expect((await failureOf(clientOf(old.url).send(get))).code).toBe('ERR_BACKEND_UNREACHABLE')
      expect(old.requests).toEqual([])
    } finally {
      await old.close()
    }
  })

  test('a service that does not speak TLS at all is told from one that is out', async () => {
    const plain = await FakeServer.start(echo)
    try {
      const error = await failureOf(clientOf(plain.url.replace('http:', 'https:')).send(get))
      expect(error.message).toContain('does not speak TLS')
    } finally {
      await plain.close()
    }
  })

  test('keeps its connection between calls', async () => {
    const proxy = await FaultProxy.start(server.port)
    const client = clientOf(`https://127.0.0.1:${proxy.port}`)
    for (let i = 0; i < 5; i += 1) await client.send(get)
    expect(proxy.connections).toBe(1)
    await proxy.close()
  })

  test('a connection that the service closed in the meantime is replaced unnoticed', async () => {
    const proxy = await FaultProxy.start(server.port)
    const client = clientOf(`https://127.0.0.1:${proxy.port}`)
    await client.send(get)
    server.failNext('reset')
    expect((await client.send(get)).status).toBe(200)
    expect(proxy.connections).toBe(2)
    await proxy.close()
  })

  test('ends in time while it waits for a connection, and while it waits for an answer', async () => {
    const proxy = await FaultProxy.start(server.port)
    await proxy.fail('blackhole')
    const unconnected = clientOf(`https://127.0.0.1:${proxy.port}`)
    const { code } = await failureOf(unconnected.send(get, AbortSignal.timeout(50)))
    expect(code).toBe('ERR_DEADLINE_EXCEEDED')
    await proxy.close()
    server.failNext('stall')
    expect((await failureOf(clientOf(server.url, {}, 200).send(get))).code).toBe('ERR_DEADLINE_EXCEEDED')
  })

  test('ends in time while the file system hangs that has the certificates, and is used again after it', async () => {
    const client = clientOf(server.url, {}, 300)
    await client.send(get)
    const giveBack = takeThreads()
    try {
      const calls = Array.from({ length: 64 }, async () => failureOf(client.send(get)))
      const failures = await Promise.all(calls)
      expect(new Set(failures.map(({ code }) => code))).toEqual(new Set(['ERR_DEADLINE_EXCEEDED']))
      expect(failures[0]?.message).toContain('certificate files')
    } finally {
      await giveBack()
    }
    expect((await client.send(get)).status).toBe(200)
  })

  test('after close nothing is sent, and what was under way ends', async () => {
    const client = clientOf(server.url)
    server.failNext('stall')
    const pending = failureOf(client.send(get))
    await vi.waitUntil(() => server.requests.length > 0, GUARD_MS)
    client.close()
    expect((await pending).code).toBe('ERR_SHUTTING_DOWN')
    expect((await failureOf(client.send(get))).code).toBe('ERR_SHUTTING_DOWN')
    expect(server.requests.length).toBe(1)
  })

  describe('with a client certificate', () => {
    const writePair = async (commonName: string) => {
      const { cert, key } = await authority.issue({ commonName })
      return {
        clientCertFile: files.write('client.pem', cert),
        clientKeyFile: files.write('client.key', key),
      }
    }
    const nameSeen = async (client: HttpClient): Promise<unknown> => {
      const { name } = JSON.parse((await client.send(get)).body.toString()) as { name: unknown }
      return name
    }

    test('shows it, and shows the new one when the files were replaced', async () => {
      const client = clientOf(server.url, await writePair('first'))
      expect(await nameSeen(client)).toBe('first')
      await writePair('second')
      expect(await nameSeen(client)).toBe('second')
    })

    test('a certificate whose key has not been replaced yet changes nothing, and is told once', async () => {
      const client = clientOf(server.url, await writePair('first'))
      await client.send(get)
      files.write('client.pem', (await authority.issue({ commonName: 'second' })).cert)
      expect(await nameSeen(client)).toBe('first')
      expect(await nameSeen(client)).toBe('first')
      expect(logger.texts('warn')).toHaveLength(1)
      await writePair('third')
      expect(await nameSeen(client)).toBe('third')
    })

    test('a key that others may read is refused, and the mode to set is named', async () => {
      const pair = await writePair('first')
      files.write('open.key', (await authority.issue()).key, 0o600)
      const { chmodSync } = await import('node:fs')
      chmodSync(pair.clientKeyFile, 0o644)
      const error = await failureOf(clientOf(server.url, pair).send(get))
      expect([error.code, error.message]).toEqual([
        'ERR_CONFIG_INVALID',
        expect.stringContaining('chmod 600'),
      ])
      expect(server.requests).toEqual([])
    })
  })

  describe('through a proxy', () => {
    let proxy: TunnelProxy

    beforeEach(async () => {
      proxy = await TunnelProxy.start(() => server.port)
    })

    afterEach(async () => proxy.close())

    test.each(['HTTPS_PROXY', 'https_proxy', 'ALL_PROXY'])(
      'that %s names, TLS goes to the service itself',
      async (name) => {
        vi.stubEnv(name, proxy.url)
        const client = clientOf('https://kms.example.com:8200')
        for (let i = 0; i < 3; i += 1) expect((await client.send(get)).status).toBe(200)
        expect(proxy.asked).toEqual(['kms.example.com:8200'])
      },
    )

    test('shows the client certificate to the service', async () => {
      vi.stubEnv('HTTPS_PROXY', proxy.url)
      const { cert, key } = await authority.issue({ commonName: 'us' })
      const pair = { clientCertFile: files.write('c.pem', cert), clientKeyFile: files.write('c.key', key) }
      const { body } = await clientOf('https://kms.example.com:8200', pair).send(get)
      expect(JSON.parse(body.toString())).toMatchObject({ name: 'us' })
    })

    test('the name of the service is checked all the same', async () => {
      vi.stubEnv('HTTPS_PROXY', proxy.url)
      const error = await failureOf(clientOf('https://other.example.com:8200').send(get))
      expect(error.message).toContain('another name')
      expect(server.requests).toEqual([])
    })

    test('not where NO_PROXY names the service, nor to loopback', async () => {
      vi.stubEnv('HTTPS_PROXY', proxy.url)
      expect((await clientOf(server.url).send(get)).status).toBe(200)
      vi.stubEnv('NO_PROXY', 'elsewhere.example,.invalid')
      await failureOf(clientOf('https://kms.invalid:8200', {}, 2000).send(get))
      expect(proxy.asked).toEqual([])
    })

    test('its refusal is not taken for an answer of the service', async () => {
      vi.stubEnv('HTTPS_PROXY', proxy.url.replace('//', '//user:hunter22@'))
      for (const status of [403, 407, 502]) {
        proxy.status = status
        const error = await failureOf(clientOf('https://kms.example.com:8200').send(get))
        expect(error.code).toBe('ERR_BACKEND_UNREACHABLE')
        expect(error.message).toContain(String(status))
        expect(error.message).not.toContain('hunter22')
      }
      proxy.status = 200
      expect((await clientOf('https://kms.example.com:8200').send(get)).status).toBe(200)
    })

    test('a proxy that never answers ends the call in time', async () => {
      vi.stubEnv('HTTPS_PROXY', proxy.url)
      proxy.status = 0
      const { code } = await failureOf(clientOf('https://kms.example.com:8200', {}, 100).send(get))
      expect(code).toBe('ERR_DEADLINE_EXCEEDED')
    })

    test('calls at once share one set of connections from the first on', async () => {
      vi.stubEnv('HTTPS_PROXY', proxy.url)
      proxy.status = 0
      const client = clientOf('https://kms.example.com:8200', {}, 2000)
      const calls = Array.from({ length: 100 }, async () => failureOf(client.send(get)))
      await Promise.all(calls)
      expect(proxy.asked.length).toBeLessThanOrEqual(64)
    })

    test('a proxy that answers again after an outage under load is used again within a second', async () => {
      vi.stubEnv('HTTPS_PROXY', proxy.url)
      proxy.status = 0
      const client = clientOf('https://kms.example.com:8200', {}, 500)
      await failureOf(client.send(get))
      const load = Array.from({ length: 100 }, async () => failureOf(client.send(get)))
      const outcomes = new Set((await Promise.all(load)).map(({ code }) => code))
      expect([...outcomes]).toEqual(['ERR_DEADLINE_EXCEEDED'])
      proxy.status = 200
      const isBack = async () => expect((await client.send(get)).status).toBe(200)
      await vi.waitFor(isBack, { timeout: 3000, interval: 50 })
    })

    test('a proxy that is no URL is named as a mistake of the environment', async () => {
      vi.stubEnv('HTTPS_PROXY', 'socks5://127.0.0.1:1')
      const error = await failureOf(clientOf('https://kms.example.com:8200').send(get))
      expect([error.code, error.message]).toEqual([
        'ERR_CONFIG_INVALID',
        expect.stringContaining('HTTPS_PROXY'),
      ])
    })
  })
})
