/** The two suites, by the byte in the envelope and by their configured name. */
import type { CipherName } from '../ports/config.js'
import { a256cbcHs512 } from './a256cbc_hs512.js'
import { a256gcm } from './a256gcm.js'
import type { CipherSuite } from './cipher_suite.js'

export const suitesByName = {
  A256GCM: a256gcm,
  'A256CBC-HS512': a256cbcHs512,
} satisfies Record<CipherName, CipherSuite>

const suitesById = new Map<number, CipherSuite>(Object.values(suitesByName).map((suite) => [suite.id, suite]))

export function suiteOfId(id: number): CipherSuite | undefined {
  return suitesById.get(id)
}
