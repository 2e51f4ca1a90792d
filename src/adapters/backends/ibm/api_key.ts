/** Which API key do we show to IAM? Read at each use, so that it may be replaced while we run. */
import { readSecret } from '../remote/secret.js'
import { readIbmConfigApiKey } from './ibm_config_secret.js'

const IBM_CONFIG = 'ibm-config:'

/**
 * @param reference `file:/path`, `env:NAME` or `ibm-config:/path`.
 * @throws {KmsError} `ERR_CONFIG_INVALID`: absent, empty, or a file that others may use.
 */
export async function readApiKey(
  reference: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  if (reference.startsWith(IBM_CONFIG)) return readIbmConfigApiKey(reference.slice(IBM_CONFIG.length))
  return readSecret(reference, 'the API key of IBM Cloud', env)
}
