/** IBM Key Protect and Hyper Protect Crypto Services: what can be configured, and what is checked. */
import type { Backend } from '../backend.js'
import { checkIbmKey } from './check.js'
import { settings, type IbmSettings } from './settings.js'
import { IbmKeyWrapper } from './wrapper.js'

export const ibm: Backend<IbmSettings> = {
  settings,
  open: (section, deps) => new IbmKeyWrapper(section, deps),
  check: checkIbmKey,
}
