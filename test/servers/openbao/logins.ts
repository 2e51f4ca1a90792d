/** How does somebody get a token of OpenBao? Each auth method, set up for one role named `kms`. */
import { randomBytes } from 'node:crypto'
import { at, textOf, type BaoApi, type Json } from './api.js'
import { makeSigner } from './jwt.js'
import type { TokenReviewer } from './token_review.js'

/** What the tokens of a role are like; durations are texts such as `3s`. */
export interface RoleWish {
  readonly policies: readonly string[]
  readonly ttl?: string
  readonly maxTtl?: string
  readonly period?: string
  readonly type?: 'service' | 'batch'
}

export const ROLE = 'kms'

/** Not the policy `default` that every token else has: what is granted is what the test says. */
function tokenOptions({ policies, ttl = '1h', maxTtl = '0', period = '0', type }: RoleWish): Json {
  return {
    token_policies: policies,
    token_no_default_policy: true,
    // Each is said, since a role keeps what is not.
    token_type: type ?? 'service',
    token_ttl: period === '0' ? ttl : '0',
    token_max_ttl: maxTtl,
    token_period: period,
  }
}

export interface AppRole {
  readonly roleId: string
  readonly secretId: string
}

/** Calling it again changes the role; the role id stays, and another secret id is made. */
export async function enableAppRole(api: BaoApi, wish: RoleWish, path = 'approle'): Promise<AppRole> {
  await enable(api, path, 'approle')
  const role = `auth/${path}/role/${ROLE}`
  await api.must('POST', role, tokenOptions(wish))
  return {
    roleId: textOf(at(await api.must('GET', `${role}/role-id`), 'data'), 'role_id'),
    secretId: textOf(at(await api.must('POST', `${role}/secret-id`), 'data'), 'secret_id'),
  }
}

export interface UserPass {
  readonly username: string
  readonly password: string
}

/** Calling it again changes the password. */
export async function enableUserPass(api: BaoApi, wish: RoleWish, path = 'userpass'): Promise<UserPass> {
  await enable(api, path, 'userpass')
  const password = randomBytes(16).toString('hex')
  await api.must('POST', `auth/${path}/users/${ROLE}`, { password, ...tokenOptions(wish) })
  return { username: ROLE, password }
}

/** Lets in whoever has a certificate by `ca` with this common name. */
export async function enableCert(
  api: BaoApi,
  wish: RoleWish,
  ca: string,
  commonName: string,
  path = 'cert',
): Promise<void> {
  await enable(api, path, 'cert')
  const options = { certificate: ca, allowed_common_names: [commonName], ...tokenOptions(wish) }
  await api.must('POST', `auth/${path}/certs/${ROLE}`, options)
}

export const AUDIENCE = 'openbao'

/** Answers what signs tokens that are let in. */
export async function enableJwt(api: BaoApi, wish: RoleWish, path = 'jwt'): Promise<() => string> {
  await enable(api, path, 'jwt')
  const { publicKey, sign } = makeSigner()
  const [iss, sub] = ['https://issuer.test', 'kms']
  await api.must('POST', `auth/${path}/config`, { jwt_validation_pubkeys: [publicKey], bound_issuer: iss })
  await api.must('POST', `auth/${path}/role/${ROLE}`, {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: [AUDIENCE],
    bound_subject: sub,
    ...tokenOptions(wish),
  })
  return () => sign({ iss, sub, aud: AUDIENCE })
}

/** Answers what makes tokens of the service account that is let in, as a kubelet puts them into a pod. */
export async function enableKubernetes(
  api: BaoApi,
  wish: RoleWish,
  reviewer: TokenReviewer,
  path = 'kubernetes',
): Promise<() => string> {
  await enable(api, path, 'kubernetes')
  const account = { namespace: 'kube-system', name: 'kmsplugin' }
  const { publicKey, sign } = makeSigner()
  await api.must('POST', `auth/${path}/config`, {
    kubernetes_host: reviewer.url,
    kubernetes_ca_cert: reviewer.ca,
    pem_keys: [publicKey],
    token_reviewer_jwt: sign({ sub: 'system:serviceaccount:kube-system:reviewer' }),
    disable_local_ca_jwt: true,
  })
  await api.must('POST', `auth/${path}/role/${ROLE}`, {
    bound_service_account_names: [account.name],
    bound_service_account_namespaces: [account.namespace],
    audience: AUDIENCE,
    ...tokenOptions(wish),
  })
  return () => {
    const token = sign({
      iss: 'https://kubernetes.default.svc.cluster.local',
      sub: `system:serviceaccount:${account.namespace}:${account.name}`,
      aud: [AUDIENCE],
      'kubernetes.io': {
        namespace: account.namespace,
        serviceaccount: { name: account.name, uid: `uid-of-${account.name}` },
      },
    })
    reviewer.know(token, account)
    return token
  }
}

async function enable(api: BaoApi, path: string, type: string): Promise<void> {
  const { body } = await api.ask('GET', `sys/auth/${path}`)
  if (body['type'] !== type) await api.must('POST', `sys/auth/${path}`, { type })
}
