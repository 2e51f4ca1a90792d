/** OVHcloud KMS by its REST API: what can be configured, and what is checked. */
import type { Backend } from '../backend.js'
import { checkOkmsKey } from './check.js'
import { settings, type OkmsSettings } from './settings.js'
import { OkmsKeyWrapper } from './wrapper.js'

export const okms: Backend<OkmsSettings> = {
  settings,
  open: (section, deps) => new OkmsKeyWrapper(section, deps),
  check: checkOkmsKey,
}
