/** HashiCorp Vault and OpenBao, Transit engine: what can be configured, and what it is worth. */
import type { Backend } from '../backend.js'
import { checkVault } from './check.js'
import { settings, type VaultSettings } from './settings.js'
import { VaultKeyWrapper } from './wrapper.js'

export const vault: Backend<VaultSettings> = {
  settings,
  open: (section, deps) => new VaultKeyWrapper(section, deps),
  check: checkVault,
}
