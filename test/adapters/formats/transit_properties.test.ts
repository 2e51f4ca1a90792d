/** Whatever stands in etcd, do the formats of Transit answer in their own words? */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Format } from '../../../src/adapters/formats/format.js'
import { openbaoKubernetesKms } from '../../../src/adapters/formats/openbao_kubernetes_kms.js'
import { vaultKubernetesKms } from '../../../src/adapters/formats/vault_kubernetes_kms.js'
import { KmsError } from '../../../src/ports/errors.js'
import type { StoredValue } from '../../../src/ports/foreign.js'

const NAMES = {
  providerName: 'a',
  clusterId: 'b',
  instanceId: 'c',
  transitMountId: 'd',
  keyLineageId: 'e',
}

const bytes = fc.uint8Array({ maxLength: 120 })
const text = (value: string) => Buffer.from(value, 'latin1')
const base64 = fc.uint8Array({ maxLength: 90 }).map((raw) => Buffer.from(raw).toString('base64'))
const version = fc.oneof(fc.nat().map(String), fc.string({ maxLength: 12 }))

/** Random bytes, and such as come near to what is written. */
const stored: fc.Arbitrary<StoredValue> = fc.record({
  ciphertext: fc.oneof(
    bytes,
    bytes.map((tail) => Buffer.concat([text('vault:v'), tail])),
    fc.tuple(version, base64).map(([number, tail]) => text(`vault:v${number}:${tail}`)),
  ),
  keyId: fc.oneof(
    fc.constant(undefined),
    fc.string(),
    fc.string({ maxLength: 50 }).map((tail) => `obk2.${tail}`),
    fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .map((hash) => `obk2.${Buffer.from(hash).toString('base64url')}`),
  ),
  annotations: fc.dictionary(
    fc.oneof(
      fc.constantFrom(
        ...[
          'v2.kleidi.beezy.dev',
          'provider.kms.openbao.org',
          'aad-version.kms.openbao.org',
          '.kms.openbao.org',
        ],
        ...['__proto__', 'constructor'],
      ),
      fc.string(),
    ),
    fc.oneof(
      bytes,
      fc.constantFrom('1', 'v1', 'openbao-transit').map((value) => text(value)),
    ),
  ),
})

test.each([
  ['vault-kubernetes-kms', (value: StoredValue) => answers(vaultKubernetesKms, value, {})],
  ['openbao-kubernetes-kms', (value: StoredValue) => answers(openbaoKubernetesKms, value, NAMES)],
])('%s: a plan or an error of ours; an explanation always, without a line break', (_name, answersTo) => {
  fc.assert(
    fc.property(stored, (value) => {
      const { outcome, problem, shown } = answersTo(value)
      expect(outcome).toMatch(/^(asks once|ERR_(MALFORMED_ENVELOPE|KEY_ID_MISMATCH|KEY_UNKNOWN))$/)
      if (outcome === 'asks once') expect(problem).toBeUndefined()
      if (outcome === 'ERR_MALFORMED_ENVELOPE') expect(problem).toBeDefined()
      for (const one of [...shown, problem ?? '']) expect(one).not.toMatch(/\p{Cc}/u)
    }),
    { numRuns: 2000 },
  )
})

interface Answers {
  readonly outcome: string
  readonly problem: string | undefined
  readonly shown: readonly string[]
}

function answers<Options>(format: Format<Options>, value: StoredValue, options: Options): Answers {
  format.recognize(value)
  const { fields, problem } = format.explain(value)
  const said = { problem, shown: fields.flatMap((field) => [field.label, field.value]) }
  try {
    const { questions } = format.plan(value, options, { allowUnauthenticated: false })
    return { ...said, outcome: questions.length === 1 ? 'asks once' : `asks ${questions.length}` }
  } catch (thrown) {
    if (thrown instanceof KmsError) return { ...said, outcome: thrown.code }
    throw thrown
  }
}
