/** Values of Azure's plugin open on a token that was given the same RSA key. */
import { createPrivateKey } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatOfName } from '../../../src/adapters/formats/index.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { makeNss, nssMissing } from '../../support/modules/nss.js'
import { changeToken } from '../../support/token_objects.js'
import { valuesOf, type RecordedValue } from '../../support/token_values.js'
import { openOn, soon, type Opened } from '../pkcs11/opened.js'

interface Recording {
  readonly key: { readonly versions: readonly { readonly version: string; readonly privateKey: string }[] }
  readonly values: readonly (RecordedValue & { readonly version: string })[]
}

const path = new URL('../../vectors/foreign/azure-kubernetes-kms.json', import.meta.url)
const recording = JSON.parse(readFileSync(path, 'utf8')) as Recording
const [first] = recording.key.versions
const own = valuesOf(recording.values.filter(({ version }) => version === first!.version))
const others = valuesOf(recording.values.filter(({ version }) => version !== first!.version))
const decoder = formatOfName('azure-kubernetes-kms')!.decoder({}, { allowUnauthenticated: false })

describe.skipIf(nssMissing !== undefined)(
  nssMissing === undefined ? "Azure's values on NSS" : `Azure's values on NSS (skipped: ${nssMissing})`,
  () => {
    let token: Awaited<ReturnType<typeof makeNss>>
    let opened: Opened

    beforeAll(async () => {
      token = await makeNss()
      const key = createPrivateKey(first!.privateKey).export({ format: 'jwk' })
      changeToken(token, [{ do: 'importRsa', label: 'azure', key }])
      opened = openOn(token, { keyLabel: 'azure' }, { isPrimary: false })
    })

    afterAll(async () => {
      await opened.wrapper.close()
      await token.remove()
    })

    const open = async (stored: (typeof own)[number]['stored']): Promise<Buffer> => {
      const plan = decoder.plan(stored)
      const [question] = plan.questions
      if (question === undefined || 'ciphertext' in question) throw new Error('one question is expected')
      return Buffer.from(plan.finish([await opened.wrapper.decryptNative!(question, soon())]))
    }

    test.each(own.map((value) => [value.name, value] as const))(
      '%s',
      async (_name, { stored, plaintext }) => {
        expect((await open(stored)).equals(plaintext)).toBe(true)
        const ciphertext = Buffer.from(stored.ciphertext)
        ciphertext.write(ciphertext[100] === 0x41 ? 'B' : 'A', 100)
        expect(await outcomeOf(open({ ...stored, ciphertext }))).toBe('ERR_DECRYPTION_FAILED')
      },
    )

    test('values of another version are refused', async () => {
      expect(others.length).toBeGreaterThan(0)
      for (const { stored } of others) expect(await outcomeOf(open(stored))).toBe('ERR_DECRYPTION_FAILED')
    })
  },
)
