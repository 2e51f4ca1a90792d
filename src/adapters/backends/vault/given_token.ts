/** What is a token worth that somebody else made and put into a file or the environment? */
import type { BackendDeps } from '../backend.js'
import { KmsError } from '../../../ports/errors.js'
import { malformed, objectAt, type JsonObject } from '../remote/json_answer.js'
import { readSecret } from '../remote/secret.js'
import type { VaultClient } from './client.js'
import { errorOf, isFromVault } from './errors.js'
import { isTokenText, VaultToken } from './token.js'

const PATH = 'auth/token/lookup-self'

/** @throws {KmsError} `ERR_CONFIG_INVALID`: it cannot be read, or is no token. */
export async function readGiven(reference: string, env: BackendDeps['env']): Promise<string> {
  const text = await readSecret(reference, 'the Vault token', env)
  if (isTokenText(text)) return text
  throw new KmsError('ERR_CONFIG_INVALID', `the Vault token in ${reference} has characters that no token has`)
}

/**
 * The token as it stands there now, with what Vault says of it.
 *
 * @throws {KmsError} `ERR_LOGIN_REFUSED`: Vault does not know it; as {@link readGiven} and `VaultClient.ask`.
 */
export async function givenToken(
  client: VaultClient,
  reference: string,
  env: BackendDeps['env'],
  nowMs: () => number,
  signal: AbortSignal,
): Promise<VaultToken> {
  const text = await readGiven(reference, env)
  const askedMs = nowMs()
  const unknown = { isRenewable: false, lifetimeMs: undefined, isOursToRevoke: false, askedMs }
  const data = await lookUp(client, new VaultToken(text, unknown), signal)
  if (data === undefined) {
    const why = 'it is wrong, expired or revoked, or its policies forbid auth/token/lookup-self'
    throw new KmsError('ERR_LOGIN_REFUSED', `${client.service} refuses the token in ${reference}: ${why}`)
  }
  const { ttl } = data
  if (typeof ttl !== 'number') throw malformed(client.service, 'a token without its time to live')
  // Without an end, as the root token is, it has no time at which it expires.
  const isEndless = ttl === 0 && typeof data['expire_time'] !== 'string'
  const lifetimeMs = isEndless ? undefined : ttl * 1000
  return new VaultToken(text, { ...unknown, isRenewable: data['renewable'] === true, lifetimeMs })
}

/** What Vault says of a token; `undefined`: it does not know it, or forbids the question. */
export async function lookUp(
  client: VaultClient,
  token: VaultToken,
  signal?: AbortSignal,
): Promise<JsonObject | undefined> {
  const reply = await client.ask({ method: 'GET', path: PATH, token }, signal)
  if (reply.status === 403 && isFromVault(reply)) return undefined
  if (reply.status !== 200) throw errorOf({ service: client.service, path: PATH, kek: 'the token' }, reply)
  return objectAt(reply.body, 'data')
}
