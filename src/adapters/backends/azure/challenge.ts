/** For which resource does the vault want a token, and may it? */
import { KmsError } from '../../../ports/errors.js'
import { malformed } from '../remote/json_answer.js'
import { mayAskFor } from './cloud.js'

export interface Challenge {
  /** As in `https://vault.azure.net`. */
  readonly resource: string
  /** The tenant that the vault belongs to, where it says so. For messages only: we log in where the config says. */
  readonly tenant: string | undefined
}

/**
 * What stands in the `WWW-Authenticate` of a 401:
 * `Bearer authorization="https://login.microsoftonline.com/TENANT", resource="https://vault.azure.net"`.
 *
 * @param host Of the vault.
 * @throws {KmsError} `ERR_BACKEND_RESPONSE`: no challenge of that form; `ERR_CONFIG_INVALID`: a resource that this host
 * may not ask for, so that no token is sent to it.
 */
export function readChallenge(header: string | undefined, host: string, service: string): Challenge {
  if (header === undefined || !/^Bearer /i.test(header)) {
    throw malformed(service, 'a 401 that does not say which token it wants')
  }
  const parts = new Map(
    [...header.matchAll(/([a-z_]+)="([^"]*)"/gi)].map(([, name = '', value = '']) => [name, value]),
  )
  const named = parts.get('resource') ?? parts.get('scope')?.replace(/\/\.default$/, '') ?? ''
  const resource = URL.canParse(named) ? new URL(named) : undefined
  if (resource?.protocol !== 'https:' || resource.pathname !== '/') {
    throw malformed(service, 'a 401 that wants a token for no resource')
  }
  if (!mayAskFor(host, resource.hostname)) {
    const text = `${service} wants a token for ${resource.hostname}, which is not the domain of its own name; none was sent: is vaultUrl right, and does its name lead to Azure?`
    throw new KmsError('ERR_CONFIG_INVALID', text)
  }
  return {
    resource: resource.origin,
    tenant: tenantIn(parts.get('authorization') ?? parts.get('authorization_uri')),
  }
}

function tenantIn(authorization = ''): string | undefined {
  return /^https:\/\/[^/]+\/([0-9A-Za-z.-]{1,80})/.exec(authorization)?.[1]
}
