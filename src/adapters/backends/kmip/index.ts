/** A key on a KMIP server: what can be configured, and what it is worth. */
import type { Backend } from '../backend.js'
import { checkKmipKey } from './check.js'
import { openWrapper } from './open.js'
import { settings, type KmipSettings } from './settings.js'

export const kmip: Backend<KmipSettings> = {
  settings,
  open: (section, deps) => openWrapper(section, deps),
  check: async (section, deps) => checkKmipKey(section, deps),
}
