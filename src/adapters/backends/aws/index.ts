/** AWS KMS: what can be configured, and what becomes of it. */
import type { Backend } from '../backend.js'
import { checkAws } from './check.js'
import { AwsKmsClient } from './client.js'
import { settings, type AwsSettings } from './settings.js'
import { AwsKeyWrapper } from './wrapper.js'

export const aws: Backend<AwsSettings> = {
  settings,
  open: (section, deps) => new AwsKeyWrapper(new AwsKmsClient(section, deps), deps.clock, section),
  check: async (section, deps) => checkAws(section, deps),
}
