import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { refusal, type V2Encrypted } from '../support/kms_client.js'
import { sharedPlugin } from '../support/scene.js'
import { seeded } from '../support/seeded.js'

const scene = sharedPlugin({ server: { kmsV1: true } })

// Whatever a caller sends: the plugin stays healthy, and a good value still opens.
afterEach(async () => {
  const client = scene.connect()
  expect((await client.v2Status()).healthz).toBe('ok')
  const plaintext = randomBytes(32)
  expect(await client.v2Decrypt(await client.v2Encrypt(plaintext))).toEqual(plaintext)
  expect(scene.plugin.isRunning).toBe(true)
})

const REJECTED = 'INVALID_ARGUMENT: ciphertext rejected'
const INVALID = 'INVALID_ARGUMENT: invalid request'

async function good(): Promise<V2Encrypted> {
  return scene.connect().v2Encrypt(randomBytes(32))
}

/** The distinct answers of v2 Decrypt to these ciphertexts, under the key id of a good one. */
async function answersTo(ciphertexts: readonly Uint8Array[], keyId: string): Promise<string[]> {
  const client = scene.connect()
  const answers = await Promise.all(
    ciphertexts.map(async (ciphertext) => refusal(client.v2Decrypt({ ciphertext, keyId }))),
  )
  return [...new Set(answers)]
}

describe('a ciphertext', () => {
  test('with any single bit flipped is rejected with one text, or names a key that we do not hold', async () => {
    const { ciphertext, keyId } = await good()
    const flipped = Array.from({ length: ciphertext.length * 8 }, (_, bit) => {
      const copy = Buffer.from(ciphertext)
      copy.writeUInt8(copy.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      return copy
    })
    expect(await answersTo(flipped, keyId)).toEqual([REJECTED])

    // v1 has no key id beside the ciphertext, so a flip inside the envelope's may make it another one.
    const client = scene.connect()
    const answers = await Promise.all(flipped.map(async (copy) => refusal(client.v1Decrypt(copy))))
    expect([...new Set(answers)].sort()).toEqual([
      'FAILED_PRECONDITION: key id unknown to this plugin',
      REJECTED,
    ])
  })

  test('cut at any byte is rejected', async () => {
    const { ciphertext, keyId } = await good()
    const cut = Array.from({ length: ciphertext.length - 1 }, (_, index) => ciphertext.subarray(0, index + 1))
    expect(await answersTo(cut, keyId)).toEqual([REJECTED])
  })

  test('with bytes behind or before it is rejected', async () => {
    const { ciphertext, keyId } = await good()
    const longer = [1, 2, 100].flatMap((bytes) => [
      Buffer.concat([ciphertext, Buffer.alloc(bytes)]),
      Buffer.concat([Buffer.alloc(bytes), ciphertext]),
    ])
    expect(await answersTo(longer, keyId)).toEqual([REJECTED])
  })

  test('put together from two good ones is rejected, wherever they are joined', async () => {
    const [one, two] = [await good(), await good()]
    const spliced = Array.from({ length: one.ciphertext.length - 1 }, (_, index) =>
      Buffer.concat([one.ciphertext.subarray(0, index + 1), two.ciphertext.subarray(index + 1)]),
    ).filter((bytes) => !bytes.equals(one.ciphertext) && !bytes.equals(two.ciphertext))
    expect(await answersTo(spliced, one.keyId)).toEqual([REJECTED])
  })

  test('of random bytes of any length, or of another plugin, is rejected', async () => {
    const { keyId } = await good()
    const random = seeded(20_261_120)
    const garbage = Array.from({ length: 300 }, () => random.bytes(1 + random.below(1024)))
    const foreign = ['vault:v1:AAAA', '1', '\x01AAAA', 'k8s:enc:kms:v2:p:'].map((text) => Buffer.from(text))
    expect(await answersTo([...garbage, ...foreign], keyId)).toEqual([REJECTED])
  })

  test('that is empty or too long is an invalid request', async () => {
    const { ciphertext, keyId } = await good()
    const bad = [Buffer.alloc(0), Buffer.concat([ciphertext, Buffer.alloc(1025 - ciphertext.length)])]
    expect(await answersTo(bad, keyId)).toEqual([INVALID])
    const client = scene.connect()
    expect(await refusal(client.v1Decrypt(Buffer.alloc(0)))).toBe(INVALID)
    expect(await refusal(client.v1Decrypt(Buffer.alloc(65_536)))).toBe(INVALID)
  })

  test('that is good is opened as often as it is asked for', async () => {
    const plaintext = randomBytes(32)
    const client = scene.connect()
    const sealed = await client.v2Encrypt(plaintext)
    const opened = await Promise.all(Array.from({ length: 500 }, async () => client.v2Decrypt(sealed)))
    expect(opened.every((bytes) => bytes.equals(plaintext))).toBe(true)
  })
})

describe('a key id', () => {
  const unknown = `local:${'a'.repeat(26)}.${'b'.repeat(26)}`

  test.each([
    ['of another key', unknown, REJECTED],
    ['of no form of ours', 'projects/p/keys/k', REJECTED],
    ['with control characters and quotes', 'a\r\n"b"\u0000\u2028', REJECTED],
    ['of 1,024 bytes', 'k'.repeat(1024), REJECTED],
    ['of 1,025 bytes', 'k'.repeat(1025), INVALID],
    ['that is empty', '', INVALID],
  ])('%s beside a good ciphertext is refused', async (_what, keyId, answer) => {
    const { ciphertext } = await good()
    expect(await refusal(scene.connect().v2Decrypt({ ciphertext, keyId }))).toBe(answer)
  })

  test('that we do not hold, in the envelope as beside it, is a failed precondition', async () => {
    const { ciphertext, keyId } = await good()
    const foreign = Buffer.from(ciphertext.toString('latin1').replace(keyId, unknown), 'latin1')
    const answer = await refusal(scene.connect().v2Decrypt({ ciphertext: foreign, keyId: unknown }))
    expect(answer).toBe('FAILED_PRECONDITION: key id unknown to this plugin')
  })

  test('of a backend that is not configured is a failed precondition', async () => {
    const { ciphertext, keyId } = await good()
    const other = keyId.replace('local:', 'cloud:')
    const foreign = Buffer.from(ciphertext.toString('latin1').replace(keyId, other), 'latin1')
    const answer = await refusal(scene.connect().v2Decrypt({ ciphertext: foreign, keyId: other }))
    expect(answer).toBe('FAILED_PRECONDITION: key id unknown to this plugin')
  })
})

describe('annotations', () => {
  test('that we did not make change nothing', async () => {
    const plaintext = randomBytes(32)
    const client = scene.connect()
    const sealed = await client.v2Encrypt(plaintext)
    const annotations = { 'a.example.com': Buffer.from('x'), ['__proto__']: Buffer.from('y') }
    expect(await client.v2Decrypt({ ...sealed, annotations })).toEqual(plaintext)
  })

  test('of more than 32 KiB are an invalid request', async () => {
    const annotations = { 'a.example.com': Buffer.alloc(32 * 1024) }
    expect(await refusal(scene.connect().v2Decrypt({ ...(await good()), annotations }))).toBe(INVALID)
  })
})
