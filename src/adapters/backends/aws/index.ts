/** AWS KMS: what can be configured, and what becomes of it. */
import type { Backend } from '../backend.js'
import { labelled } from '../labelled_logger.js'
import { checkAws } from './check.js'
import { AwsKmsClient } from './client.js'
import { settings, type AwsSettings } from './settings.js'
import { AwsKeyWrapper } from './wrapper.js'

export const aws: Backend<AwsSettings> = {
  settings,
  open: (section, deps) => {
    const logger = labelled(deps.logger, { key: deps.key })
    return new AwsKeyWrapper(new AwsKmsClient(section, deps), deps.clock, logger, section)
  },
  check: async (section, deps) => checkAws(section, deps),
}
