/** Values that other plugins made on a token open on a token that holds the same key, through the core's own dispatch. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatOfName } from '../../../src/adapters/formats/index.js'
import type { DecodingKey } from '../../../src/domain/foreign_candidates.js'
import { ForeignValues } from '../../../src/domain/foreign_values.js'
import { KmsError } from '../../../src/ports/errors.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingMetrics } from '../../doubles/recording_metrics.js'
import { makeNss, nssMissing } from '../../support/modules/nss.js'
import { makeSoftHsm, softHsmMissing } from '../../support/softhsm.js'
import { changeToken } from '../../support/token_objects.js'
import { importStep, recorded, type RecordedKey, type TokenValue } from '../../support/token_values.js'
import { clock, openOn, soon, type Opened, type UsableToken } from '../pkcs11/opened.js'

const jwe = recorded('k8s-kms-plugin')
const mock = recorded('kubernetes-kms-mock')
const mockKey = mock.key['kek']!
const localKek = recorded('kubernetes-local-kek')
const keys: readonly RecordedKey[] = [...Object.values(jwe.key), mockKey, localKek.key['kek128']!]

type Made = UsableToken & { readonly remove: () => Promise<void> }

/** SoftHSM has no OAEP with SHA-256; what else differs between modules shows with the keys of 256 bits. */
const tokens = [
  {
    name: 'SoftHSM',
    missing: softHsmMissing,
    make: async (): Promise<Made> => makeSoftHsm(),
    has: ({ rsa }: RecordedKey) => rsa === undefined,
  },
  {
    name: 'NSS',
    missing: nssMissing,
    make: async (): Promise<Made> => makeNss(),
    has: ({ rsa, aes = '', secret = '' }: RecordedKey) =>
      rsa === undefined ? (aes + secret).length === 64 : rsa.n?.length !== 512,
  },
]

describe.skipIf(tokens.some(({ missing }) => missing !== undefined)).each(tokens)(
  'recorded values on $name',
  ({ make, has }) => {
    let token: Made
    let decoding: readonly DecodingKey[]
    const opened = new Map<string, Opened>()

    /** Several keys with one format, as a configuration in the middle of a rotation has them. */
    const keyWith = (record: RecordedKey, formats: Readonly<Record<string, object>>): DecodingKey => {
      const one = openOn(token, { keyLabel: record.label, ckaId: record.id }, { isPrimary: false })
      opened.set(record.label, one)
      const decoders = Object.entries(formats).map(([name, options]) =>
        formatOfName(name)!.decoder(options, { allowUnauthenticated: true }),
      )
      return { name: record.label, wrapper: one.wrapper, decoders }
    }

    beforeAll(async () => {
      token = await make()
      changeToken(token, keys.filter(has).map(importStep))
      const macKeyLabel = jwe.key['mac']!.label
      const ofJwe = Object.entries(jwe.key).filter(([name, record]) => name !== 'mac' && has(record))
      decoding = [
        ...ofJwe.map(([, record]) => keyWith(record, { 'k8s-kms-plugin': { macKeyLabel } })),
        keyWith(mockKey, { 'kubernetes-kms-mock': {}, 'kubernetes-local-kek': {} }),
        ...Object.values(localKek.key)
          .filter((record) => record.label !== mockKey.label && has(record))
          .map((record) =>
            keyWith(record, {
              'kubernetes-local-kek': {},
              'kubernetes-kms-mock': { label: record.label, boundToKeyId: false },
            }),
          ),
      ]
    })

    afterAll(async () => {
      for (const { wrapper } of opened.values()) await wrapper.close()
      await token.remove()
    })

    const open = async (value: StoredValue, of = decoding) => {
      const policy = { timeoutMs: 60_000, maxEntries: 10 }
      const foreign = new ForeignValues(of, policy, clock, 10_000, new RecordingMetrics())
      const found = foreign.find(value)
      if (found === undefined) throw new KmsError('ERR_MALFORMED_ENVELOPE', 'nobody knows it')
      return Buffer.from(await foreign.open(found, soon()))
    }
    const values: readonly TokenValue[] = [
      ...jwe.values.filter(({ opensWith }) => has(jwe.key[opensWith]!)),
      ...mock.values,
      ...localKek.values.filter(({ opensWith }) => has(localKek.key[opensWith]!)),
    ]

    test.each(values.map((value): [string, TokenValue] => [value.name, value]))(
      '%s',
      async (_name, value) => {
        const { stored, plaintext, tag, opensWith } = value
        const isNameless = tag !== undefined && stored.keyId === undefined
        const label = jwe.key[opensWith]?.label
        const of = isNameless ? decoding.filter(({ name }) => name === label) : decoding
        expect((await open(stored, of)).equals(plaintext)).toBe(true)
        const at = stored.ciphertext.length - 20
        const ciphertext = Buffer.from(stored.ciphertext)
        ciphertext.writeUInt8(ciphertext.readUInt8(at) ^ 1, at)
        const end = await outcomeOf(open({ ...stored, ciphertext }, of))
        expect(end).toMatch(/^ERR_(MALFORMED_ENVELOPE|DECRYPTION_FAILED)$/)
      },
    )

    test('a value that names no key and opens under several is not opened by whichever is listed first', async () => {
      const listed = Object.values(jwe.key).filter((record) => record.aes !== undefined && has(record))
      const { stored, plaintext } = jwe.values.find(
        ({ tag, stored: { keyId } }) => tag === 'c' && keyId === undefined,
      )!
      for (const of of [decoding, decoding.toReversed()]) {
        const end = open(stored, of)
        if (listed.length > 1) expect(await outcomeOf(end)).toBe('ERR_CONFIG_INVALID')
        else expect((await end).equals(plaintext)).toBe(true)
      }
    })

    test('a value of a key that is not configured is said to be that, and no process ended for any of it', async () => {
      const { stored } = jwe.values.find(({ stored: { keyId } }) => keyId !== undefined)!
      expect(await outcomeOf(open({ ...stored, keyId: '0a0b' }))).toBe('ERR_KEY_UNKNOWN')
      expect([...opened.values()].every((one) => one.starts() <= 1 && one.restarts() === 0)).toBe(true)
    })
  },
)
