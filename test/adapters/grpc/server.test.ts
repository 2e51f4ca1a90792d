import { existsSync, lstatSync, readdirSync } from 'node:fs'
import { constants } from 'node:http2'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KmsError, errorCodes, type KmsErrorCode } from '../../../src/ports/errors.js'
import { refusal } from '../../support/kms_client.js'
import { until } from '../../support/plugin.js'
import { dial, framed, hungUp, RawClient, v2Message } from '../../support/raw_grpc.js'
import { fakeKeyId, heldDecrypt, TestServer } from './fake_service.js'

let t: TestServer

beforeEach(() => {
  t = new TestServer()
})
afterEach(async () => t.close())

const request = { ciphertext: Buffer.from('sealed'), keyId: fakeKeyId }

describe('a call', () => {
  test('that fails with any code of the table is answered with a fixed text, and the server lives on', async () => {
    await t.start()
    const client = t.connect()
    for (const code of Object.keys(errorCodes) as KmsErrorCode[]) {
      t.service.decrypt = async () => Promise.reject(new KmsError(code, 'SECRET detail'))
      const answer = await refusal(client.v2Decrypt(request))
      expect(answer).toMatch(/^[A-Z_]+: [\x20-\x7e]+$/)
      expect(answer).not.toContain('SECRET')
    }
    expect((await client.v2Status()).healthz).toBe('ok')
  })

  test.each([
    ['rejects with what is no KmsError', async () => Promise.reject(new TypeError('SECRET'))],
    ['rejects with undefined', async () => Promise.reject(undefined as unknown as Error)],
    [
      'throws at once',
      () => {
        throw new Error('SECRET')
      },
    ],
  ])('whose handler %s is an internal error without detail', async (_how, decrypt) => {
    await t.start()
    const client = t.connect()
    t.service.decrypt = decrypt
    expect(await refusal(client.v2Decrypt(request))).toBe('INTERNAL: internal error')
    expect((await client.v2Status()).healthz).toBe('ok')
  })

  test('is answered and does not end the process even when the metrics are broken', async () => {
    await t.start()
    t.metrics.requestFinished = () => {
      throw new Error('SECRET')
    }
    const client = t.connect()
    expect(await refusal(client.v2Status())).toBe('INTERNAL: internal error')
    expect(await refusal(client.v2Encrypt(Buffer.from('x')))).toBe('INTERNAL: internal error')
  })

  test('carries its deadline and uid to the service', async () => {
    await t.start()
    const { asked, release } = heldDecrypt(t.service)
    const startMs = performance.now()
    const answer = t.connect(2000).v2Decrypt({ ...request, uid: 'uid-1' })
    const { deadlineMs, uid, signal } = await asked
    expect(deadlineMs - startMs).toBeGreaterThan(0)
    expect(deadlineMs - startMs).toBeLessThan(2500)
    expect(uid).toBe('uid-1')
    expect(signal?.aborted).toBe(false)
    release()
    expect((await answer).toString()).toBe('late')
  })

  test('whose deadline passes aborts the work and is answered by nobody', async () => {
    await t.start()
    const { asked, release } = heldDecrypt(t.service)
    const answer = refusal(t.connect(300).v2Decrypt(request))
    const { signal } = await asked
    expect(await answer).toMatch(/^DEADLINE_EXCEEDED: /)
    await until(() => signal?.aborted === true)
    release()
    expect((await t.connect().v2Status()).healthz).toBe('ok')
  })

  test('whose caller goes away aborts the work', async () => {
    await t.start()
    const { asked, release } = heldDecrypt(t.service)
    const caller = new RawClient(t.socket)
    const { stream } = caller.open('/v2.KeyManagementService/Decrypt')
    stream.end(framed(v2Message('Decrypt', request)))
    const { signal } = await asked
    stream.close(constants.NGHTTP2_CANCEL)
    await until(() => signal?.aborted === true)
    release()
    caller.close()
  })

  test('leaves no plaintext in the buffers of the request and the answer', async () => {
    await t.start()
    const client = t.connect()
    let given: Uint8Array | undefined
    t.service.encrypt = async (plaintext) => {
      given = plaintext
      return Promise.resolve({ ciphertext: Buffer.from('sealed'), keyId: fakeKeyId })
    }
    await client.v2Encrypt(Buffer.from('plaintext'))
    expect(Buffer.from(given!).toString('latin1')).toBe('\0'.repeat(9))
    await client.v1Encrypt(Buffer.from('plaintext'))
    expect(Buffer.from(given!).toString('latin1')).toBe('\0'.repeat(9))

    const opened = [Buffer.from('plaintext'), Buffer.from('plaintext')]
    t.service.decrypt = async () => Promise.resolve(opened[0]!)
    expect((await client.v2Decrypt(request)).toString()).toBe('plaintext')
    t.service.decrypt = async () => Promise.resolve(opened[1]!)
    expect((await client.v1Decrypt(request.ciphertext)).toString()).toBe('plaintext')
    expect(opened.map(String)).toEqual(['\0'.repeat(9), '\0'.repeat(9)])
  })

  test('is counted once, by what came of it', async () => {
    await t.start()
    const client = t.connect()
    await client.v2Status()
    await refusal(client.v2Decrypt({ ...request, ciphertext: Buffer.alloc(0) }))
    await client.v1Version()
    const counted = t.metrics.events.requestFinished.map(([...event]) => event.slice(0, 3))
    expect(counted).toEqual([
      ['v2', 'status', 'OK'],
      ['v2', 'decrypt', 'ERR_INVALID_REQUEST'],
      ['v1', 'version', 'OK'],
    ])
  })
})

describe('a request whose bytes are no message of its method', () => {
  test.each([
    'v2.KeyManagementService/Encrypt',
    'v2.KeyManagementService/Decrypt',
    'v1beta1.KeyManagementService/Encrypt',
  ])('%s: is invalid, is counted, and nobody is asked', async (path) => {
    await t.start()
    const caller = new RawClient(t.socket)
    const { grpcStatus, grpcMessage } = await caller.call(`/${path}`, framed(Buffer.from([0x0a, 0xff])))
    caller.close()
    expect({ grpcStatus, grpcMessage }).toEqual({ grpcStatus: 3, grpcMessage: 'invalid request' })
    expect(t.metrics.events.requestFinished.map(([, , outcome]) => outcome)).toEqual(['ERR_INVALID_REQUEST'])
  })
})

describe('a request of v2 that kube-apiserver would never send is refused before the service is asked', () => {
  test.each([
    ['an empty ciphertext', { ciphertext: Buffer.alloc(0) }],
    ['a ciphertext of 1,025 bytes', { ciphertext: Buffer.alloc(1025) }],
    ['an empty key id', { keyId: '' }],
    ['a key id of 1,025 bytes', { keyId: 'k'.repeat(1025) }],
    ['a key id of 1,026 bytes in 513 characters', { keyId: 'é'.repeat(513) }],
    ['annotations of more than 32 KiB', { annotations: { 'a.example': Buffer.alloc(32 * 1024 - 8) } }],
    ['a uid of 257 characters', { uid: 'u'.repeat(257) }],
  ])('%s', async (_what, change) => {
    await t.start()
    let asked = 0
    t.service.decrypt = async () => {
      asked += 1
      return Promise.resolve(Buffer.alloc(0))
    }
    expect(await refusal(t.connect().v2Decrypt({ ...request, ...change }))).toBe(
      'INVALID_ARGUMENT: invalid request',
    )
    expect(asked).toBe(0)
  })

  test('while an annotation without a value, as Go writes an empty one, holds no bytes', async () => {
    await t.start()
    const asked: unknown[] = []
    t.service.decrypt = async ({ annotations }) => {
      asked.push(annotations)
      return Promise.resolve(Buffer.alloc(0))
    }
    const caller = new RawClient(t.socket)
    // Field 4, an entry with its name (field 1) and no value (field 2).
    const annotation = Buffer.from('\x22\x05\x0a\x03a.b', 'latin1')
    const message = Buffer.concat([v2Message('Decrypt', request), annotation])
    const { grpcStatus } = await caller.call('/v2.KeyManagementService/Decrypt', framed(message))
    caller.close()
    expect(grpcStatus).toBe(0)
    expect(asked).toEqual([{ 'a.b': Buffer.alloc(0) }])
  })

  test('and the largest of each is let through', async () => {
    await t.start()
    const annotations = { 'a.example': Buffer.alloc(32 * 1024 - 9) }
    const change = {
      ciphertext: Buffer.alloc(1024, 1),
      keyId: 'k'.repeat(1024),
      uid: 'u'.repeat(256),
      annotations,
    }
    expect(await t.connect().v2Decrypt(change)).toHaveLength(1024)
  })
})

describe('stopping', () => {
  test('lets a pending call finish, takes no new connection, and removes socket and lock', async () => {
    const server = await t.start({ drainTimeoutMs: 10_000 })
    const { asked, release } = heldDecrypt(t.service)
    const answer = t.connect().v2Decrypt(request)
    await asked
    const stopped = server.stop()
    await until(() => !existsSync(t.socket))
    expect(await refusal(t.connect(300).v2Status())).toMatch(/^DEADLINE_EXCEEDED: /)
    release()
    expect((await answer).toString()).toBe('late')
    await stopped
    expect(readdirSync(`${t.folder}/run`)).toEqual([])
    expect(t.logger.texts('warn')).toEqual([])
  })

  test('cuts a call that outlives the drain timeout and says so', async () => {
    const server = await t.start({ drainTimeoutMs: 100 })
    const { asked, release } = heldDecrypt(t.service)
    const answer = refusal(t.connect().v2Decrypt(request))
    await asked
    await server.stop()
    expect(await answer).toMatch(/^(CANCELLED|UNAVAILABLE): /)
    expect(t.logger.texts('warn')).toHaveLength(1)
    release()
  })

  test('does not wait for idle connections, nor for silent ones', async () => {
    const server = await t.start({ drainTimeoutMs: 60_000 })
    await t.connect().v2Status()
    const silent = await dial(t.socket)
    await server.stop()
    await hungUp(silent)
  })

  test('twice is once, and without a start it does nothing', async () => {
    const server = await t.start()
    const [first, second] = [server.stop(), server.stop()]
    await Promise.all([first, second])
    const unstarted = t.make()
    await unstarted.stop()
  })

  test('ends a start that still waits for another plugin, which is not touched', async () => {
    await t.start()
    // A process that lives for as long as this test and holds the lock.
    const waiting = t.make({ pid: process.ppid, drainTimeoutMs: 60_000 })
    const start = waiting.start().catch((error: unknown) => error)
    await waiting.stop()
    expect(await start).toMatchObject({ code: 'ERR_SHUTTING_DOWN' })
    expect((await t.connect().v2Status()).healthz).toBe('ok')
  })

  test('after a start that failed lets it be started again, once the other plugin is gone', async () => {
    const first = await t.start()
    const second = t.make({ pid: process.ppid, drainTimeoutMs: 0 })
    expect(await second.start().catch((error: unknown) => error)).toMatchObject({
      code: 'ERR_BACKEND_UNAVAILABLE',
    })
    await first.stop()
    await second.start()
    expect((await t.connect().v2Status()).healthz).toBe('ok')
    await second.stop()
  })

  test('frees the path for the next at once, while the last calls still drain', async () => {
    const server = await t.start({ drainTimeoutMs: 10_000 })
    const { asked, release } = heldDecrypt(t.service)
    const client = t.connect()
    const answer = client.v2Decrypt(request)
    await asked
    const stopped = server.stop()
    await until(() => !existsSync(t.socket))
    const next = await t.start()
    expect((await t.connect().v2Status()).healthz).toBe('ok')
    release()
    await answer
    await stopped
    expect(lstatSync(t.socket).isSocket()).toBe(true)
    await next.stop()
  })
})
