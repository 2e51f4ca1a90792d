/** The contract suite for a KEK on a PKCS#11 token of any module, for one way to wrap. */
import { expect } from 'vitest'
import type { MechanismName } from '../../src/adapters/backends/pkcs11/shared/mechanisms.js'
import type { Pkcs11Settings } from '../../src/adapters/backends/pkcs11/settings.js'
import { backend, openOn, settingsOf, soon, type UsableToken } from '../adapters/pkcs11/opened.js'
import { keyWrapperContract } from './key_wrapper.js'

export interface TokenCase {
  /** What stands in the name of the suite. */
  readonly name: string
  readonly mechanism: MechanismName
  /** The first byte of what it stores. */
  readonly format: number
  readonly make: () => Promise<UsableToken & { readonly remove: () => Promise<void> }>
  readonly missing: string | undefined
  /** Makes the KEK where our own keygen cannot. */
  readonly makeKek?: (token: UsableToken) => void
  readonly settings?: Partial<Pkcs11Settings>
}

export function tokenContract(subject: TokenCase): void {
  const { name, mechanism, format, make, missing, makeKek } = subject
  const change = { mechanism, ...subject.settings }
  keyWrapperContract(
    `pkcs11 (${name}, ${mechanism})`,
    async () => {
      const token = await make()
      const { deps, wrapper } = openOn(token, change)
      if (makeKek === undefined) await backend.keygen?.(settingsOf(token, change), deps)
      else makeKek(token)
      const { bytes } = await wrapper.wrap(Buffer.alloc(32, 1), soon())
      await wrapper.close()
      expect(bytes[0]).toBe(format)
      return { open: () => openOn(token, change).wrapper, remove: token.remove }
    },
    missing,
  )
}
