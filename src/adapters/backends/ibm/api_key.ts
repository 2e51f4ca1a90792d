/** Which API key do we show to IAM? Read at each use, so that it may be replaced while we run. */
import { readSecret } from '../remote/secret.js'
import { REFERENCE } from '../remote/settings.js'
import { readIbmConfigApiKey } from './ibm_config_secret.js'

const IBM_CONFIG = 'ibm-config:'
const WHAT = 'the API key of IBM Cloud'

/**
 * @param reference `file:/path`, `env:NAME` or `ibm-config:/path`.
 * @throws {KmsError} `ERR_CONFIG_INVALID`: absent, empty, or a file that others may use.
 */
export async function readApiKey(
  reference: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  if (!reference.startsWith(IBM_CONFIG)) return readSecret(reference, WHAT, env)
  const found = await readIbmConfigApiKey(reference.slice(IBM_CONFIG.length))
  // Since the plugin was started, the key may have been moved out of the config file, as the log advises.
  return REFERENCE.test(found) ? readSecret(found, WHAT, env) : found
}
