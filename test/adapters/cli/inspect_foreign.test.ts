/** What does `inspect` say of the values that other plugins have really stored, however they were copied out of etcd? */
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { createValueExplainer } from '../../../src/adapters/etcd/value_explainer.js'
import { describeForeign } from '../../../src/adapters/formats/index.js'
import { describeEnvelope } from '../../../src/domain/envelope.js'
import { foreignFixture, storedValue, type ForeignFixture } from '../../support/foreign_fixture.js'
import { kmsV1, kmsV2 } from '../etcd/stored_values.js'
import { run } from './run.js'

const folder = fileURLToPath(new URL('../../vectors/foreign', import.meta.url))
const formats = readdirSync(folder).map((file) => file.replace('.json', ''))

const PROVIDER = 'the-provider'
/** What kube-apiserver sealed under the DEK: nothing of it matters here. */
const DATA = Buffer.alloc(48, 7)
/** Shorter ones stand in any text by chance. */
const TELLING_BYTES = 8

const services = {
  explainer: async () => Promise.resolve(createValueExplainer(describeEnvelope, describeForeign)),
}

type Entry = ForeignFixture<unknown>['values'][number]

function inEtcd(entry: Entry): Buffer {
  const { ciphertext, keyId, annotations } = storedValue(entry)
  if (keyId === undefined) return Buffer.from(kmsV1(PROVIDER, ciphertext, DATA))
  const fields = { encryptedData: DATA, keyID: keyId, encryptedDEKSource: ciphertext, annotations }
  return Buffer.from(kmsV2(PROVIDER, fields))
}

/** As `hexdump -C` prints it, without the column of text. */
function hexdump(bytes: Buffer): string {
  const lines = Array.from({ length: Math.ceil(bytes.length / 16) }, (_, line) => {
    const part = bytes.subarray(line * 16, line * 16 + 16)
    const pairs = part.toString('hex').replaceAll(/..(?!$)/g, '$& ')
    return `${(line * 16).toString(16).padStart(8, '0')}  ${pairs}`
  })
  return [...lines, bytes.length.toString(16).padStart(8, '0'), ''].join('\n')
}

const copies: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  'as it is': (bytes) => bytes,
  'with the newline of etcdctl': (bytes) => Buffer.concat([bytes, Buffer.from('\n')]),
  'in hex': (bytes) => Buffer.from(`${bytes.toString('hex')}\n`),
  'in base64': (bytes) => Buffer.from(`${bytes.toString('base64')}\n`),
  'by hexdump': (bytes) => Buffer.from(hexdump(bytes)),
}

describe.each(formats)('a value of %s', (format) => {
  const { values } = foreignFixture<ForeignFixture<unknown>>(format)

  test.each(Object.keys(copies))(
    '%s is known by format and provider, and nothing of it is shown',
    async (copy) => {
      expect(values.length).toBeGreaterThan(0)
      for (const value of values) {
        const ran = await run(['inspect'], { stdin: copies[copy]!(inEtcd(value)), services })
        expect(ran, value.note).toMatchObject({ exitCode: 0, stderr: '' })
        expect(ran.stdout).toMatch(new RegExp(`^foreign format +${format}$`, 'm'))
        expect(ran.stdout).toMatch(new RegExp(`^provider name +${PROVIDER}$`, 'm'))
        const secret = Buffer.from(value.plaintext, 'base64')
        const { ciphertext } = storedValue(value)
        const hidden = [ciphertext, ...(secret.length < TELLING_BYTES ? [] : [secret])]
        for (const bytes of hidden.map((one) => Buffer.from(one)))
          for (const text of [bytes.toString('hex'), bytes.toString('base64'), bytes.toString('latin1')])
            expect(ran.stdout).not.toContain(text)
      }
    },
  )
})
