/** How does each auth method ask Vault for a token, and what do its answers mean? */
import type { BackendDeps } from '../backend.js'
import { KmsError } from '../../../ports/errors.js'
import { malformed, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import { readSecret } from '../remote/secret.js'
import type { VaultClient, VaultReply } from './client.js'
import { errorOf, isFromVault, textsOf } from './errors.js'
import type { VaultAuth } from './settings.js'
import { isTokenText, VaultToken } from './token.js'

/** The methods that log in; `token` is given one. */
export type LoginAuth = Exclude<VaultAuth, { readonly method: 'token' }>

export interface Login {
  readonly method: LoginAuth['method']
  /** Behind `/v1/`. */
  readonly path: string
  /** Holds secrets. */
  readonly body: JsonObject
}

/**
 * What would be sent now; secrets are read anew each time.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID`: a secret that cannot be read.
 */
export async function loginOf(auth: LoginAuth, env: BackendDeps['env']): Promise<Login> {
  const { method } = auth
  const path = `auth/${auth.mount}/login`
  switch (auth.method) {
    case 'approle': {
      const { roleId, secretId } = auth
      const secret =
        secretId === undefined ? {} : { secret_id: await readSecret(secretId, 'the secret id', env) }
      return { method, path, body: { role_id: roleId, ...secret } }
    }
    case 'kubernetes':
    case 'jwt':
      // The kubelet lets everybody in the pod read projected tokens; they live for an hour.
      return {
        method,
        path,
        body: { role: auth.role, jwt: await readSecret(auth.jwt, 'the JWT', env, 'anybody') },
      }
    case 'cert':
      return { method, path, body: auth.role === undefined ? {} : { name: auth.role } }
    case 'userpass': {
      const password = await readSecret(auth.password, 'the password', env)
      return { method, path: `${path}/${auth.username}`, body: { password } }
    }
  }
}

/** These lock an account or spend tries; the others cost nothing, and a refusal may be an outage of who vouches for us. */
export function isGuarded({ method }: Login): boolean {
  return method === 'approle' || method === 'userpass'
}

/**
 * One login.
 *
 * @throws {KmsError} `ERR_LOGIN_REFUSED`; `ERR_CONFIG_INVALID`: no such auth method; what `VaultClient.ask` throws.
 */
export async function logIn(
  client: VaultClient,
  login: Login,
  nowMs: () => number,
  signal: AbortSignal,
): Promise<VaultToken> {
  const askedMs = nowMs()
  const reply = await client.ask({ method: 'POST', path: login.path, body: login.body }, signal)
  if (reply.status !== 200) throw loginError(client.service, login, reply)
  const token = tokenIn(reply, client.service, askedMs, true)
  if (token !== undefined) return token
  const wantsMore = Object.keys(objectAt(objectAt(reply.body, 'auth'), 'mfa_requirement')).length > 0
  if (wantsMore)
    throw new KmsError('ERR_LOGIN_REFUSED', `${client.service} wants a second factor at ${login.path}`)
  throw malformed(client.service, 'a login without a token')
}

/** The token in `auth`; `undefined` where there is none. */
export function tokenIn(
  { body }: VaultReply,
  service: string,
  askedMs: number,
  isOurs: boolean,
): VaultToken | undefined {
  const auth = objectAt(body, 'auth')
  const text = textAt(auth, 'client_token')
  const seconds = auth['lease_duration']
  if (text === undefined || text === '') return undefined
  if (!isTokenText(text) || typeof seconds !== 'number' || seconds < 0) {
    throw malformed(service, 'a token without its lease, or with characters that no token has')
  }
  return new VaultToken(text, {
    isRenewable: auth['renewable'] === true,
    lifetimeMs: seconds === 0 ? undefined : seconds * 1000,
    isOursToRevoke: isOurs && auth['token_type'] !== 'batch',
    askedMs,
  })
}

/** By what Vault says: only what helps, and never its words, since it quotes a secret id that it does not like. */
const hints: readonly (readonly [RegExp, string])[] = [
  [
    /invalid role or secret ID|invalid secret_id/,
    'role id or secret id is wrong, or the secret id has expired or is used up',
  ],
  [/invalid username or password/, 'user name or password is wrong'],
  [/invalid role name|role .* could not be found|missing role/, 'there is no such role'],
  [/missing secret_id/, 'the role wants a secret id: set `secretId`'],
  [
    /no chain matching|no certificate was matched|invalid certificate|client certificate/,
    'no role fits our client certificate',
  ],
  [/audience/, 'the JWT is for another audience than the role'],
  [/expired \(exp\)|token (is|has) expired/, 'the JWT has expired; is its file renewed?'],
  [
    /validating token|validating claims|signature/,
    'the JWT does not fit the configuration of the auth method',
  ],
  [/not authorized/, 'the role does not allow this service account'],
  [/source address|bound_cidr|CIDR/i, 'this address is not among those that the role allows'],
]

function loginError(service: string, { method, path }: Login, reply: VaultReply): KmsError {
  const question = { service, path, kek: 'the auth method', isLogin: true }
  if (!isFromVault(reply)) return errorOf(question, reply)
  const said = textsOf(reply).join('; ')
  if (reply.status === 404 || reply.status === 405) {
    const text = `${service} has no auth method at ${path}; are \`auth.mount\` and \`namespace\` right?`
    return new KmsError('ERR_CONFIG_INVALID', text)
  }
  const hint = hints.find(([pattern]) => pattern.test(said))?.[1]
  // Some refusals are a 500, such as that of a service account which the role does not allow: the words tell.
  const isRefused = [400, 401, 403].includes(reply.status) || (reply.status === 500 && hint !== undefined)
  if (isRefused) {
    // It says so too where nothing is mounted.
    const why = hint ?? 'it does not say why; is `auth.mount` right, or is the account locked for a while'
    const cure =
      method === 'kubernetes' ? ', or kube-apiserver does not vouch for the service account now' : ''
    return new KmsError('ERR_LOGIN_REFUSED', `${service} refuses the login at ${path}: ${why}${cure}`)
  }
  return errorOf(question, reply)
}
