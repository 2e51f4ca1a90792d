/** The suite that every backend passes: what the port `KeyWrapper` promises, on the backend's real parts. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KmsError } from '../../src/ports/errors.js'
import { isKeyId, keyId } from '../../src/ports/key_id.js'
import {
  DEK_BYTES,
  WRAPPED_DEK_MAX_BYTES,
  type CallOptions,
  type KeyWrapper,
  type WrappedDek,
} from '../../src/ports/key_wrapper.js'
import { createSystemClock } from '../../src/adapters/system/clock.js'

/** One KEK and ways to get at it. */
export interface Subject {
  /** A new wrapper over the same KEK, as a restarted plugin or another node has it. */
  open(): KeyWrapper
  remove(): Promise<void>
}

const clock = createSystemClock()

/** Generous: the suite asserts answers, not speed. */
function options(): CallOptions {
  return { deadlineMs: clock.nowMs() + 20_000 }
}

/** @param skipped The reason why this backend cannot be had here. */
export function keyWrapperContract(
  name: string,
  makeSubject: () => Promise<Subject>,
  skipped?: string,
): void {
  const title =
    skipped === undefined ? `a ${name} key wrapper` : `a ${name} key wrapper (skipped: ${skipped})`
  describe.skipIf(skipped !== undefined)(title, () => {
    let subject: Subject
    let wrapper: KeyWrapper
    let dek: Buffer
    let wrapped: WrappedDek

    beforeAll(async () => {
      subject = await makeSubject()
      wrapper = subject.open()
      dek = randomBytes(DEK_BYTES)
    })

    afterAll(async () => {
      await wrapper.close()
      await subject.remove()
    })

    test('does not know before its first call whether a key id is its own', () => {
      const unseen = subject.open()
      expect(unseen.recognizes(keyId(`${unseen.backend}:${'a'.repeat(26)}.${'a'.repeat(26)}`))).toBe(
        'unknown',
      )
    })

    test('unwraps what it wrapped to the same bytes', async () => {
      const before = Buffer.from(dek)
      wrapped = await wrapper.wrap(dek, options())
      expect(dek.equals(before)).toBe(true)
      expect(Buffer.from(await wrapper.unwrap(wrapped, options())).equals(dek)).toBe(true)
    })

    test('names the KEK version by a key id of our form, the one that it reports as current', async () => {
      expect(isKeyId(wrapped.keyId)).toBe(true)
      expect(wrapped.keyId.startsWith(`${wrapper.backend}:`)).toBe(true)
      expect(await wrapper.currentKeyId(options())).toBe(wrapped.keyId)
      expect(wrapper.recognizes(wrapped.keyId)).toBe('yes')
    })

    test('keeps the wrapped DEK within the limit of the envelope and hides the DEK in it', () => {
      expect(wrapped.bytes.length).toBeGreaterThan(DEK_BYTES)
      expect(wrapped.bytes.length).toBeLessThanOrEqual(WRAPPED_DEK_MAX_BYTES)
      expect(Buffer.from(wrapped.bytes).includes(dek)).toBe(false)
    })

    test('gives away what it unwraps: wiping it does not change the next answer', async () => {
      ;(await wrapper.unwrap(wrapped, options())).fill(0)
      expect(Buffer.from(await wrapper.unwrap(wrapped, options())).equals(dek)).toBe(true)
    })

    test('refuses a wrapped DEK with any byte changed', async () => {
      // Every one, but of long RSA ciphertexts, whose bytes are all alike.
      const step = Math.ceil(wrapped.bytes.length / 100)
      for (let at = 0; at < wrapped.bytes.length; at += step) {
        const bytes = Buffer.from(wrapped.bytes)
        bytes.writeUInt8(bytes.readUInt8(at) ^ 0x01, at)
        expect(await refusal(wrapper.unwrap({ ...wrapped, bytes }, options())), `byte ${at}`).toMatch(
          BAD_DATA,
        )
      }
    })

    test('refuses a wrapped DEK that was cut or made longer', async () => {
      const lengths = [0, 1, 12, 13, 28, wrapped.bytes.length - 16, wrapped.bytes.length - 1]
      for (const length of lengths) {
        const bytes = wrapped.bytes.subarray(0, length)
        expect(await refusal(wrapper.unwrap({ ...wrapped, bytes }, options())), `${length} bytes`).toMatch(
          BAD_DATA,
        )
      }
      const bytes = Buffer.concat([wrapped.bytes, Buffer.of(0)])
      expect(await refusal(wrapper.unwrap({ ...wrapped, bytes }, options()))).toMatch(BAD_DATA)
    })

    test('refuses random bytes, and still works after them', async () => {
      for (let i = 0; i < 20; i += 1) {
        const bytes = randomBytes(wrapped.bytes.length)
        expect(await refusal(wrapper.unwrap({ ...wrapped, bytes }, options()))).toMatch(BAD_DATA)
      }
      expect(Buffer.from(await wrapper.unwrap(wrapped, options())).equals(dek)).toBe(true)
    })

    test('does not recognize the key id of another KEK and does not unwrap under it', async () => {
      const other = keyId(`${wrapper.backend}:${'b'.repeat(26)}.${'b'.repeat(26)}`)
      expect(wrapper.recognizes(other)).toBe('no')
      expect(await refusal(wrapper.unwrap({ ...wrapped, keyId: other }, options()))).toBe('ERR_KEY_UNKNOWN')
    })

    test('another instance names the KEK the same and unwraps what this one wrapped', async () => {
      const other = subject.open()
      try {
        expect(await other.currentKeyId(options())).toBe(wrapped.keyId)
        expect(Buffer.from(await other.unwrap(wrapped, options())).equals(dek)).toBe(true)
      } finally {
        await other.close()
      }
    })

    test('serves 64 calls at once, each with its own answer', async () => {
      const deks = Array.from({ length: 64 }, () => randomBytes(DEK_BYTES))
      const all = await Promise.all(deks.map(async (one) => wrapper.wrap(one, options())))
      const back = await Promise.all(all.map(async (one) => wrapper.unwrap(one, options())))
      expect(back.every((one, i) => Buffer.from(one).equals(deks[i]!))).toBe(true)
    })

    test('closes twice without harm', async () => {
      const other = subject.open()
      await other.currentKeyId(options())
      await other.close()
      await other.close()
    })
  })
}

/** `ERR_UNWRAP_AMBIGUOUS` is for backends that answer bad data as they answer a bad device: the core tells which. */
const BAD_DATA = /^ERR_(DECRYPTION_FAILED|UNWRAP_AMBIGUOUS)$/

async function refusal(call: Promise<Uint8Array>): Promise<string> {
  try {
    await call
    return 'it was accepted'
  } catch (error) {
    return error instanceof KmsError ? error.code : `no KmsError: ${String(error)}`
  }
}
