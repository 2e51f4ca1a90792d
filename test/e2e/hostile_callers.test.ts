import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import { constants } from 'node:http2'
import { afterEach, describe, expect, test } from 'vitest'
import { frame, oddConnection, PREFACE, requestHeaders } from '../support/http2_frames.js'
import { dial, framed, hungUp, v2Message } from '../support/raw_grpc.js'
import { sandboxPerTest, sharedPlugin } from '../support/scene.js'
import { seeded } from '../support/seeded.js'

const ENCRYPT = '/v2.KeyManagementService/Encrypt'
const DECRYPT = '/v2.KeyManagementService/Decrypt'
const STATUS = '/v2.KeyManagementService/Status'

const INVALID_ARGUMENT = 3
const DEADLINE_EXCEEDED = 4
const RESOURCE_EXHAUSTED = 8
const UNIMPLEMENTED = 12
const INTERNAL = 13

const scene = sharedPlugin()

// Whatever one caller does: the plugin is up, and a good one is served.
afterEach(async () => {
  expect(scene.plugin.isRunning).toBe(true)
  const client = scene.connect()
  expect((await client.v2Status()).healthz).toBe('ok')
  expect(await client.v2Decrypt(await client.v2Encrypt(Buffer.alloc(32, 7)))).toEqual(Buffer.alloc(32, 7))
  client.close()
})

const request = v2Message('Encrypt', { plaintext: Buffer.alloc(32), uid: 'uid' })

async function statusOf(path: string, body: Uint8Array, headers?: Record<string, string>) {
  const client = scene.connectRaw()
  const { grpcStatus, httpStatus } = await client.call(path, body, headers)
  client.close()
  return grpcStatus ?? `HTTP ${httpStatus}`
}

describe('a compressed message', () => {
  const gzip = { 'grpc-encoding': 'gzip' }

  test('that is good is read', async () => {
    expect(await statusOf(ENCRYPT, framed(gzipSync(request), { compressed: true }), gzip)).toBe(0)
  })

  test('that is garbage is refused', async () => {
    expect(await statusOf(ENCRYPT, framed(Buffer.alloc(15, 0xff), { compressed: true }), gzip)).toBe(INTERNAL)
  })

  test('that is cut short is refused', async () => {
    const cut = gzipSync(request).subarray(0, -9)
    expect(await statusOf(ENCRYPT, framed(cut, { compressed: true }), gzip)).toBe(INTERNAL)
  })

  test('that grows to 64 MiB is refused without growing us', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
    expect(await statusOf(ENCRYPT, framed(bomb, { compressed: true }), gzip)).toBe(RESOURCE_EXHAUSTED)
  })

  test('of an encoding that nobody speaks is refused', async () => {
    const headers = { 'grpc-encoding': 'zstd' }
    expect(await statusOf(ENCRYPT, framed(request, { compressed: true }), headers)).toBe(UNIMPLEMENTED)
  })
})

describe('a request', () => {
  test('that declares 4 GiB is refused at once', async () => {
    const body = framed(Buffer.alloc(0), { declaredBytes: 2 ** 32 - 1 })
    expect(await statusOf(ENCRYPT, body)).toBe(RESOURCE_EXHAUSTED)
  })

  test('without a message, with two, or that ends inside one is refused', async () => {
    expect(await statusOf(ENCRYPT, Buffer.alloc(0))).toBe(UNIMPLEMENTED)
    expect(await statusOf(ENCRYPT, Buffer.concat([framed(request), framed(request)]))).toBe(UNIMPLEMENTED)
    expect(await statusOf(ENCRYPT, framed(request).subarray(0, -1))).not.toBe(0)
  })

  test('for a method that there is not is unimplemented', async () => {
    for (const path of [
      '/v2.KeyManagementService/Delete',
      '/v3.KeyManagementService/Status',
      '/',
      '/x'.repeat(4000),
    ])
      expect(await statusOf(path, framed(request))).toBe(UNIMPLEMENTED)
  })

  test('that is no gRPC is refused by HTTP status', async () => {
    expect(await statusOf(STATUS, framed(Buffer.alloc(0)), { 'content-type': 'text/html' })).toBe('HTTP 415')
  })

  test.each([
    ['a length beyond the end', [0x0a, 0xff]],
    ['a length of 64 bits', [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]],
    ['a varint without end', [0x0a, ...Array.from({ length: 20 }, () => 0xff)]],
    ['a wire type that there is not', [0x0f]],
    ['a group that never ends', [0x0b]],
    ['groups 10,000 deep', Array.from({ length: 10_000 }, () => 0x1b)],
  ])('with a protobuf of %s is refused', async (_what, bytes) => {
    for (const path of [ENCRYPT, DECRYPT])
      expect([INVALID_ARGUMENT, INTERNAL]).toContain(await statusOf(path, framed(Buffer.from(bytes))))
  })

  test('with unknown fields is read without them', async () => {
    const unknown = Buffer.from([0xa2, 0x06, 0x01, 0x78])
    expect(await statusOf(ENCRYPT, framed(Buffer.concat([request, unknown])))).toBe(0)
  })

  test('with a uid that is no UTF-8, or with 10,000 annotations, ends nothing', async () => {
    const uid = Buffer.from([0x12, 0x02, 0xc3, 0x28])
    expect(await statusOf(ENCRYPT, framed(Buffer.concat([request, uid])))).not.toBe(undefined)
    const annotations = Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`a${n}`, Buffer.of(1)]))
    const many = v2Message('Decrypt', { ciphertext: Buffer.of(1), keyId: 'k', uid: 'u', annotations })
    expect(await statusOf(DECRYPT, framed(many))).toBe(INVALID_ARGUMENT)
  })

  test.each([
    ['0S', [DEADLINE_EXCEEDED, 0]],
    ['1n', [DEADLINE_EXCEEDED, 0]],
    ['99999999H', [DEADLINE_EXCEEDED, 0]],
    ['-1S', [INTERNAL, 0]],
    ['soon', [INTERNAL]],
    ['1', [INTERNAL]],
    ['999999999999999999999S', [INTERNAL, 0]],
  ])('with a grpc-timeout of %s is answered', async (timeout, statuses) => {
    expect(statuses).toContain(await statusOf(ENCRYPT, framed(request), { 'grpc-timeout': timeout }))
  })

  test('that is reset at any moment, on a known or an unknown path, ends nothing', async () => {
    for (let connection = 0; connection < 40; connection += 1) {
      const client = scene.connectRaw()
      const endings = Array.from({ length: 30 }, async (_, round) => {
        const call = client.open(['/none', ENCRYPT, DECRYPT][round % 3]!)
        if (round % 9 > 2) call.stream.write(framed(request))
        if (round % 9 > 5) call.stream.end()
        call.stream.close(constants.NGHTTP2_CANCEL)
        return call.ending
      })
      // On some the streams are reset one by one, on others all go with their connection.
      if (connection % 2 === 0) await Promise.all(endings)
      client.close()
    }
  })

  test('that vanishes with its connection ends nothing', async () => {
    for (let round = 0; round < 30; round += 1) {
      const client = scene.connectRaw()
      const call = client.open(ENCRYPT)
      if (round % 2 === 0) call.stream.end(framed(request))
      else call.stream.write(framed(request).subarray(0, 9))
      await new Promise((resolve) => setImmediate(resolve))
      client.close()
      await call.ending
    }
  })
})

/** As a gRPC client writes them. */
const STATUS_FIELDS = {
  ':method': 'POST',
  ':scheme': 'http',
  ':path': STATUS,
  ':authority': 'localhost',
  'content-type': 'application/grpc',
  te: 'trailers',
}

describe('a connection', () => {
  test('that resets 20,000 streams at once harms nobody else', async () => {
    const socket = await dial(scene.sandbox.socket)
    socket.write(Buffer.concat([PREFACE, frame('settings', 0, 0, Buffer.alloc(0))]))
    const headers = requestHeaders(STATUS_FIELDS)
    const good = scene.connect()
    for (let id = 1; id < 40_000 && !socket.destroyed; id += 400) {
      const batch = Array.from({ length: 200 }, (_, index) => {
        const streamId = id + 2 * index
        return [frame('headers', 4, streamId, headers), frame('reset', 0, streamId, Buffer.of(0, 0, 0, 8))]
      })
      socket.write(Buffer.concat(batch.flat()))
      if (id % 4000 === 1) expect((await good.v2Status()).healthz).toBe('ok')
    }
    socket.destroy()
  })

  test('with the authority of an old kube-apiserver, percent-encoded, is served', async () => {
    const headers = { ':authority': '%2Frun%2Fkmsplugin%2Fkms.sock' }
    expect(await statusOf(STATUS, framed(Buffer.alloc(0)), headers)).toBe(0)
  })

  test('that is no HTTP/2 is ended', async () => {
    for (const bytes of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\x16\x03\x01\x02\x00\x01', '\n'.repeat(100)]) {
      const socket = await dial(scene.sandbox.socket)
      socket.write(bytes)
      await hungUp(socket)
    }
  })
})

describe('the log', () => {
  const own = sandboxPerTest()

  test('has no byte of a header that is not readable, and nothing that is no JSON', async () => {
    const plugin = await own.sandbox.serveLocal()
    const socket = await dial(own.sandbox.socket)
    socket.resume()
    const fields = { ...STATUS_FIELDS, 'x-secret': 'QUOTED-\xe9' }
    const request = frame('headers', 4, 1, requestHeaders(fields))
    socket.write(Buffer.concat([PREFACE, frame('settings', 0, 0, Buffer.alloc(0)), request]))
    socket.write(frame('data', 1, 1, framed(Buffer.alloc(0))))
    // Answered, so it was looked at.
    await once(socket, 'data')
    const good = own.connect()
    await good.v2Status()
    socket.destroy()
    await plugin.stop()
    expect(plugin.stderr()).not.toContain('QUOTED')
    const lines = plugin.stderr().split('\n')
    expect(lines.filter((line) => line !== '' && !line.startsWith('{'))).toEqual([])
  })
})

// Node.js 20 keeps a connection with a protocol error until the keepalive ends it, and 64 are let in: so 4 times 50.
describe('200 malformed connections', () => {
  const own = sandboxPerTest()

  test.each([48, 49, 50, 51])('from seed %d end neither the plugin nor a good call', async (seed) => {
    const plugin = await own.sandbox.serveLocal()
    const random = seeded(seed)
    const good = own.connect()
    const sealed = await good.v2Encrypt(Buffer.from('before'))
    for (let round = 0; round < 5; round += 1) {
      const crowd = await Promise.all(
        Array.from({ length: 10 }, async () => {
          const socket = await dial(own.sandbox.socket)
          socket.resume()
          if (random.below(2) === 0) socket.end(oddConnection(random))
          else socket.write(oddConnection(random))
          return socket
        }),
      )
      expect((await good.v2Decrypt(sealed)).toString()).toBe('before')
      for (const socket of crowd) socket.destroy()
    }
    expect((await good.v2Status()).healthz).toBe('ok')
    expect(await plugin.stop()).toEqual({ code: 0, signal: null })
  })
})

test('no log line quotes what the callers sent', () => {
  expect(scene.plugin.stderr()).not.toContain(Buffer.alloc(32).toString('base64'))
  for (const { level } of scene.plugin.log()) expect(level).not.toBe('error')
})
