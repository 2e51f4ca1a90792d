/** Values that Go's own encoding/gob and crypto/cipher write are read, over the fake IBM KMS. Fresh ones at each run. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ibmKmsplugin } from '../../../src/adapters/formats/ibm_kmsplugin.js'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { openForeign } from '../../support/foreign.js'
import { currentVersion, seal } from '../../support/fakes/ibm_keys.js'
import { IbmSubject } from '../../support/ibm_subject.js'
import { gobMissing, writeValues, type Wish } from './writer.js'

const title = 'IBM’s values by Go’s encoding/gob'

describe.skipIf(gobMissing !== undefined)(
  gobMissing === undefined ? title : `${title} (skipped: ${gobMissing})`,
  () => {
    let subject: IbmSubject
    let wrapper: KeyWrapper
    let key: Buffer
    let wrappedDek: string

    beforeAll(async () => {
      subject = await IbmSubject.start()
      wrapper = subject.open()
      key = randomBytes(32)
      wrappedDek = seal(currentVersion(subject.key), key, [])
    })
    afterAll(async () => subject.close())

    const wish = (plaintext: Buffer, change: Partial<Wish> = {}): Wish => ({
      Shape: 'published',
      Version: 1,
      WrappedDEK: wrappedDek,
      Key: key.toString('base64'),
      Plaintext: plaintext.toString('base64'),
      LengthBytes: 0,
      ...change,
    })
    const open = async (ciphertext: Buffer, change: { version?: number; lengthBytes?: number } = {}) =>
      openForeign(ibmKmsplugin, { version: 1, lengthBytes: 4, ...change }, { ciphertext }, wrapper)

    test.each(['published', 'reversed', 'types', 'unfilled', 'later ids'])(
      'fields as in %s open in both layouts',
      async (Shape) => {
        const plaintexts = Array.from({ length: 4 }, () => randomBytes(32))
        const layouts = [{}, { LengthBytes: 4 }, { LengthBytes: 4, Fill: 12 }, { LengthBytes: 4, Fill: 16 }]
        const values = writeValues(plaintexts.map((one, i) => wish(one, { Shape, ...layouts[i] })))
        for (const [i, value] of values.entries()) {
          expect(ibmKmsplugin.recognize({ ciphertext: value, keyId: undefined, annotations: {} })).toBe(
            'bytes',
          )
          expect(Buffer.from(await open(value)).equals(plaintexts[i]!)).toBe(true)
        }
      },
    )

    test.each([1, 2, 3, 4, 5, 6, 7, 8])(
      'a length of %i bytes opens where the key says so',
      async (lengthBytes) => {
        const plaintext = randomBytes(32)
        const [value] = writeValues([wish(plaintext, { LengthBytes: lengthBytes })])
        expect(Buffer.from(await open(value!, { lengthBytes })).equals(plaintext)).toBe(true)
        const other = lengthBytes === 4 ? 3 : 4
        expect(await outcomeOf(open(value!, { lengthBytes: other }))).toBe('ERR_DECRYPTION_FAILED')
      },
    )

    test.each([0, 2, 300, 65_535])('KpVersion %i belongs to the key of that version', async (Version) => {
      const plaintext = randomBytes(32)
      const [value] = writeValues([wish(plaintext, { Version })])
      expect(Buffer.from(await open(value!, { version: Version })).equals(plaintext)).toBe(true)
      expect(await outcomeOf(open(value!))).toBe('ERR_KEY_UNKNOWN')
    })

    test.each(['unknown field', 'no cipher', 'no struct'])(
      '%s is refused before anybody is asked',
      async (Shape) => {
        const [value] = writeValues([wish(randomBytes(32), { Shape })])
        const before = subject.fake.server.requests.length
        expect(await outcomeOf(open(value!))).toBe('ERR_MALFORMED_ENVELOPE')
        expect(subject.fake.server.requests).toHaveLength(before)
      },
    )

    test.each([0, 1, 16, 31, 33, 64])(
      'a plaintext of %i bytes is none of kube-apiserver’s',
      async (length) => {
        const values = writeValues([0, 4].map((LengthBytes) => wish(randomBytes(length), { LengthBytes })))
        for (const value of values) expect(await outcomeOf(open(value))).toBe('ERR_DECRYPTION_FAILED')
      },
    )

    test('under another DEK than the wrapped one, none of 2,000 values opens', async () => {
      const wrong = randomBytes(32).toString('base64')
      const layouts = [0, 4]
      const wishes = Array.from({ length: 2000 }, (_, i) =>
        wish(randomBytes(32), { Key: wrong, LengthBytes: layouts[i % 2]! }),
      )
      // One of 2^32 would, by chance: 2,000 of them fail about once in two million runs.
      for (const value of writeValues(wishes))
        expect(await outcomeOf(open(value))).toBe('ERR_DECRYPTION_FAILED')
    })
  },
)
