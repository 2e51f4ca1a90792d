/** The SDK of AWS: loaded when a key needs it, since most installs have none. */
import type * as KmsModule from '@aws-sdk/client-kms'
import type * as CredentialsModule from '@aws-sdk/credential-provider-node'
import { KmsError } from '../../../ports/errors.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'

export interface AwsSdk {
  readonly KMS: typeof KmsModule.KMS
  /** The chain of sources of credentials that all SDKs of AWS have. */
  readonly defaultProvider: typeof CredentialsModule.defaultProvider
}

export type LoadSdk = () => Promise<AwsSdk>

/** @throws {KmsError} `ERR_CONFIG_INVALID` when it is not installed. */
export async function loadSdk(
  loadKms = async () => import('@aws-sdk/client-kms'),
  loadCredentials = async () => import('@aws-sdk/credential-provider-node'),
): Promise<AwsSdk> {
  try {
    const [{ KMS }, { defaultProvider }] = await Promise.all([loadKms(), loadCredentials()])
    return { KMS, defaultProvider }
  } catch (error) {
    const code = errorCode(error) ?? UNKNOWN_ERROR
    throw new KmsError(
      'ERR_CONFIG_INVALID',
      `the backend aws needs the package @aws-sdk/client-kms, which cannot be loaded (${code}): install the plugin with its optional packages (npm ci --include=optional)`,
    )
  }
}
