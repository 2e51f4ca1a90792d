/** A KEK in Google Cloud KMS: what can be configured, how it is opened and checked. Keys are never made here. */
import { asKmsError } from '../../../ports/errors.js'
import type { Finding } from '../../../ports/operations.js'
import type { Backend, BackendDeps } from '../backend.js'
import { labelled } from '../labelled_logger.js'
import { HttpClient } from '../remote/http_client.js'
import { AccessTokens } from './access_tokens.js'
import { loadAuthLibrary, type LoadAuthLibrary } from './auth_library.js'
import { checkCredentials, checkKey } from './check.js'
import { KmsClient } from './client.js'
import { DEFAULT_ENDPOINT, settings, type GcpSettings } from './settings.js'
import { GcpKeyWrapper } from './wrapper.js'

/** An operator who runs a command waits longer than kube-apiserver does. */
const COMMAND_TIMEOUT_MS = 15_000

/** @param load For those who have the library not, or another. */
export function gcpBackend(load: LoadAuthLibrary): Backend<GcpSettings> {
  return {
    settings,

    open(section, deps) {
      const { keyName: key, additionalAuthenticatedData: extraAad } = section
      return new GcpKeyWrapper(clientOf(section, deps, load), { key, extraAad })
    },

    async check(section, deps): Promise<readonly Finding[]> {
      const at = `keys.${deps.key}`
      const credentials = await checkCredentials(section, deps.env, at)
      if (credentials.level === 'error') return [credentials]
      const client = clientOf(section, { ...deps, callTimeoutMs: COMMAND_TIMEOUT_MS }, load)
      const options = {
        deadlineMs: deps.clock.nowMs() + COMMAND_TIMEOUT_MS,
        signal: AbortSignal.timeout(COMMAND_TIMEOUT_MS),
      }
      try {
        return [credentials, ...(await checkKey(client, at, deps.isPrimary, options))]
      } catch (error) {
        return [credentials, { level: 'error', subject: `${at}.keyName`, text: asKmsError(error).message }]
      } finally {
        client.close()
      }
    },
  }
}

export const gcp = gcpBackend(loadAuthLibrary)

function clientOf(section: GcpSettings, deps: BackendDeps, load: LoadAuthLibrary): KmsClient {
  const { keyName: key, credentials, caFile } = section
  const { clock, env, callTimeoutMs: timeoutMs } = deps
  const logger = labelled(deps.logger, { key: deps.key })
  const url = new URL(section.endpoint ?? DEFAULT_ENDPOINT)
  const service = `Cloud KMS at ${url.origin}`
  const http = new HttpClient({ url, service, tls: { caFile }, timeoutMs, logger })
  const tokens = new AccessTokens({ credentials, caFile, env, timeoutMs, clock, logger, load })
  return new KmsClient({ http, tokens, clock, key, service })
}
