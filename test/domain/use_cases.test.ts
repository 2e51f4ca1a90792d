/** What kube-apiserver gets when it asks to encrypt or to decrypt. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { buildCore, buildProvedCore } from '../doubles/core.js'
import { outcomeOf } from '../doubles/outcome.js'
import { dissect } from '../doubles/reference_envelope.js'

describe('encrypt', () => {
  test('a value whose envelope is too long is refused before any key is asked', async () => {
    const core = await buildProvedCore({ dekMaxAgeMs: 1000 })
    const { ciphertext } = await core.encrypt(Buffer.alloc(0))
    const room = 1024 - ciphertext.length
    await core.clock.advance(1000)
    const before = core.primary.totalCalls
    expect(await outcomeOf(core.encrypt(Buffer.alloc(room + 1), 1024))).toBe('ERR_REQUEST_TOO_LARGE')
    expect(core.primary.totalCalls).toBe(before)
    expect((await core.encrypt(Buffer.alloc(room), 1024)).ciphertext).toHaveLength(1024)
  })

  test.each(['reused', 'fresh'] as const)(
    'no answer is longer than asked for, even when the wrapped DEK grows (%s)',
    async (dek) => {
      const core = await buildProvedCore({ dek, dekMaxSeals: 1 })
      const { ciphertext } = await core.encrypt(Buffer.alloc(32))
      const wrap = core.primary.wrap.bind(core.primary)
      const unwrap = core.primary.unwrap.bind(core.primary)
      core.primary.wrap = async (raw, options) => {
        const { keyId, bytes } = await wrap(raw, options)
        return { keyId, bytes: Buffer.concat([bytes, Buffer.alloc(500)]) }
      }
      core.primary.unwrap = async ({ keyId, bytes }, options) =>
        unwrap({ keyId, bytes: bytes.subarray(0, 60) }, options)
      const outcome = await outcomeOf(core.encrypt(Buffer.alloc(32), ciphertext.length))
      expect(outcome).toBe('ERR_REQUEST_TOO_LARGE')
    },
  )

  test.each(['A256GCM', 'A256CBC-HS512'] as const)(
    'an envelope of %s around 32 bytes is about 280 bytes long and fits kube-apiserver with the largest wrapped DEK',
    async (cipher) => {
      const core = await buildProvedCore({ cipher })
      const { ciphertext } = await core.encrypt(randomBytes(32))
      expect(ciphertext.length).toBeLessThan(320)
      const fields = dissect(ciphertext)!
      expect(ciphertext.length - fields.wrapped.length + 640).toBeLessThanOrEqual(1024)
    },
  )

  test('the value of the caller is left as it is', async () => {
    const core = await buildProvedCore()
    const plaintext = Buffer.from('value')
    await core.encrypt(plaintext)
    expect(plaintext.toString()).toBe('value')
  })

  test('the configured suite seals, and both suites open', async () => {
    const gcm = await buildProvedCore({ cipher: 'A256GCM' })
    const { clock, primary } = gcm
    const cbc = await buildProvedCore({ cipher: 'A256CBC-HS512' }, { clock, primary })
    const [a, b] = [await gcm.encrypt(Buffer.from('a')), await cbc.encrypt(Buffer.from('b'))]
    expect([dissect(a.ciphertext)!.suite, dissect(b.ciphertext)!.suite]).toEqual([1, 2])
    expect(await cbc.decrypt(a.ciphertext)).toEqual(Buffer.from('a'))
    expect(await gcm.decrypt(b.ciphertext)).toEqual(Buffer.from('b'))
  })

  test('a DEK whose key id is no longer published when it is handed out seals nothing', async () => {
    const core = await buildProvedCore()
    const forSealing = core.sealing.forSealing.bind(core.sealing)
    let rotations = 1
    core.sealing.held = () => undefined
    core.sealing.forSealing = async (bytes, options) => {
      const dek = await forSealing(bytes, options)
      if (rotations === 0) return dek
      rotations -= 1
      core.primary.rotate()
      await core.probe.once()
      return dek
    }
    const { keyId, ciphertext } = await core.encrypt(Buffer.from('value'))
    expect(keyId).toBe(core.service.status().keyId)
    expect(Buffer.from(dissect(ciphertext)!.keyId).toString()).toBe(keyId)
    rotations = Infinity
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_BACKEND_RESPONSE')
  })

  test('nor does one that was at hand', async () => {
    const core = await buildProvedCore()
    const stale = core.publication.dek
    core.primary.rotate()
    await core.probe.once()
    core.sealing.held = () => stale
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_BACKEND_RESPONSE')
  })

  test.each(['reused', 'fresh'] as const)(
    'a value that nobody waits for any more is neither sealed nor counted, though a DEK is at hand (%s)',
    async (dek) => {
      const core = await buildProvedCore({ dek })
      const before = core.publication.dek?.seals
      const late = core.service.encrypt(Buffer.from('value'), 1024, core.within(0))
      expect(await outcomeOf(late)).toBe('ERR_DEADLINE_EXCEEDED')
      expect(core.publication.dek?.seals).toBe(before)
    },
  )

  test('no request takes longer than totalTimeout, whatever its caller would wait for', async () => {
    const core = await buildProvedCore({ dek: 'fresh' })
    core.primary.hold('wrap')
    let outcome = 'pending'
    void outcomeOf(core.service.encrypt(Buffer.from('value'), 1024, core.within(60_000))).then(
      (result) => (outcome = result),
    )
    await core.clock.advance(2499)
    expect(outcome).toBe('pending')
    await core.clock.advance(1)
    expect(outcome).toBe('ERR_DEADLINE_EXCEEDED')
  })

  test('a primary that rotates during every single try ends as a fault of the backend, not as a loop', async () => {
    const core = await buildProvedCore({ dek: 'fresh' })
    const wrap = core.primary.wrap.bind(core.primary)
    let depth = 0
    core.primary.wrap = async (raw, options) => {
      const wrapped = await wrap(raw, options)
      if (depth > 0) return wrapped
      // Another request takes the next version while this one verifies.
      depth += 1
      core.primary.rotate()
      await core.probe.once()
      depth -= 1
      return wrapped
    }
    expect(await outcomeOf(core.encrypt(Buffer.from('value')))).toBe('ERR_BACKEND_RESPONSE')
    expect(core.primary.calls.wrap).toBeLessThan(30)
  })
})

describe('decrypt', () => {
  test.each(['', 'x', 'local:short.id', `local:${'a'.repeat(26)}.${'b'.repeat(26)}`, 'k'.repeat(1025)])(
    'a request whose key id is not that of the envelope is refused without a call: %j',
    async (requested) => {
      const core = await buildProvedCore()
      const { ciphertext } = await core.encrypt(Buffer.from('value'))
      const cold = buildCore({}, { clock: core.clock, primary: core.primary })
      const before = core.primary.totalCalls
      for (const { decrypt } of [core, cold]) {
        expect(await outcomeOf(decrypt(ciphertext, requested))).toBe('ERR_KEY_ID_MISMATCH')
      }
      expect(core.primary.totalCalls).toBe(before)
    },
  )

  test('the key id of another version of the same KEK is refused as well', async () => {
    const core = await buildProvedCore()
    const { ciphertext, keyId } = await core.encrypt(Buffer.from('value'))
    core.primary.rotate()
    expect(await outcomeOf(core.decrypt(ciphertext, core.primary.keyId))).toBe('ERR_KEY_ID_MISMATCH')
    expect(await core.decrypt(ciphertext, keyId)).toEqual(Buffer.from('value'))
  })

  test('works before the primary has proved itself', async () => {
    const core = await buildProvedCore()
    const { ciphertext } = await core.encrypt(Buffer.from('value'))
    const cold = buildCore({}, { clock: core.clock, primary: core.primary })
    expect(await cold.decrypt(ciphertext)).toEqual(Buffer.from('value'))
  })

  test('the bytes of the request are left as they are, and nothing depends on them afterwards', async () => {
    const core = await buildProvedCore()
    const { ciphertext } = await core.encrypt(Buffer.from('value'))
    const cold = buildCore({}, { clock: core.clock, primary: core.primary })
    const request = Buffer.from(ciphertext)
    expect(await cold.decrypt(request)).toEqual(Buffer.from('value'))
    expect(request.equals(ciphertext)).toBe(true)
    request.fill(0)
    const before = core.primary.totalCalls
    expect(await cold.decrypt(ciphertext)).toEqual(Buffer.from('value'))
    expect(core.primary.totalCalls).toBe(before)
    // The canary still knows the wrapped DEK that stood in the request.
    core.primary.ambiguous = true
    const bad = Uint8Array.from(ciphertext)
    bad[100]! ^= 1
    expect(await outcomeOf(cold.decrypt(bad))).toBe('ERR_DECRYPTION_FAILED')
  })

  test('hits and misses of the cache are counted', async () => {
    const core = await buildProvedCore()
    const { ciphertext } = await core.encrypt(Buffer.from('value'))
    const cold = buildCore({}, { clock: core.clock, primary: core.primary })
    for (let i = 0; i < 3; i += 1) await cold.decrypt(ciphertext)
    expect(cold.metrics.events.dekCacheLookup).toEqual([['miss'], ['hit'], ['hit']])
  })
})
