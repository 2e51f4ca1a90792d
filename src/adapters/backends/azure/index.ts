/** A KEK in Azure Key Vault or a Managed HSM: what can be configured, how it is opened and checked. */
import type { Backend } from '../backend.js'
import { labelled } from '../labelled_logger.js'
import { checkAzure } from './check.js'
import { settings, type AzureSettings } from './settings.js'
import { AzureKeyWrapper } from './wrapper.js'

export const azure: Backend<AzureSettings> = {
  settings,
  open: (section, deps) => {
    const logger = labelled(deps.logger, { key: deps.key })
    return new AzureKeyWrapper(section, { ...deps, logger })
  },
  check: checkAzure,
}
