/** With what does each method prove to Microsoft Entra who we are? Read anew at each login. */
import {
  createHash,
  createPrivateKey,
  randomUUID,
  sign,
  X509Certificate,
  constants,
  type KeyObject,
} from 'node:crypto'
import { KmsError } from '../../../ports/errors.js'
import type { BackendDeps } from '../backend.js'
import { readSecret } from '../remote/secret.js'
import { readTrustedFile } from '../remote/trusted_file.js'
import type { AzureAuth } from './settings.js'

/** The methods that log in to Entra; the managed identity is vouched for by the machine. */
export type EntraAuth = Exclude<AzureAuth, { readonly method: 'managedIdentity' }>

export interface Client {
  readonly tenantId: string
  readonly clientId: string
}

export interface Proof {
  /** What it rests on, for whether it was refused before. Secret. */
  readonly basis: string
  /** The fields of the form. Secret. */
  readonly fields: Readonly<Record<string, string>>
}

const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** Long enough for a slow network and a clock that is a little wrong. */
const ASSERTION_SECONDS = 600

/** @throws {KmsError} `ERR_CONFIG_INVALID`: neither the config nor the environment says it. */
export function clientOf(auth: EntraAuth, env: BackendDeps['env']): Client {
  if (auth.method !== 'workloadIdentity') return auth
  return {
    tenantId: auth.tenantId ?? fromEnv(env, 'AZURE_TENANT_ID', 'tenantId'),
    clientId: auth.clientId ?? fromEnv(env, 'AZURE_CLIENT_ID', 'clientId'),
  }
}

/**
 * @param audience The address that the assertion is sent to.
 * @throws {KmsError} `ERR_CONFIG_INVALID`: a secret, token or certificate that cannot be read or used.
 */
export async function proofOf(
  auth: EntraAuth,
  { clientId }: Client,
  audience: string,
  env: BackendDeps['env'],
): Promise<Proof> {
  switch (auth.method) {
    case 'clientSecret': {
      const secret = await readSecret(auth.clientSecret, 'the client secret', env)
      return { basis: secret, fields: { client_secret: secret } }
    }
    case 'workloadIdentity': {
      const path = auth.tokenFile ?? fromEnv(env, 'AZURE_FEDERATED_TOKEN_FILE', 'tokenFile')
      // The kubelet lets everybody in the pod read projected tokens; they live for an hour.
      const token = await readSecret(`file:${path}`, 'the service account token', env, 'anybody')
      return { basis: token, fields: assertionFields(token) }
    }
    case 'clientCertificate': {
      const certificate = await readPair(auth)
      const assertion = assertionBy(certificate, clientId, audience)
      return { basis: certificate.certificate.fingerprint256, fields: assertionFields(assertion) }
    }
  }
}

interface Pair {
  readonly certificate: X509Certificate
  readonly key: KeyObject
}

async function readPair(auth: Extract<EntraAuth, { readonly method: 'clientCertificate' }>): Promise<Pair> {
  const { certificateFile, privateKeyFile } = auth
  const pem = await readTrustedFile(certificateFile, 'the client certificate', 'anybody')
  const keyPem = await readTrustedFile(privateKeyFile, 'the key of the client certificate', 'us')
  const pair = pairIn(pem, keyPem)
  keyPem.fill(0)
  if (pair === undefined) {
    const text = `${certificateFile} and ${privateKeyFile}: no PEM certificate and key, or the key is not that of the certificate`
    throw new KmsError('ERR_CONFIG_INVALID', text)
  }
  if (pair.key.asymmetricKeyType !== 'rsa') {
    throw new KmsError('ERR_CONFIG_INVALID', `${certificateFile}: Entra takes RSA certificates only`)
  }
  return pair
}

function pairIn(pem: Buffer, keyPem: Buffer): Pair | undefined {
  try {
    const certificate = new X509Certificate(pem)
    const key = createPrivateKey(keyPem)
    return certificate.checkPrivateKey(key) ? { certificate, key } : undefined
  } catch {
    // No cause: it may quote the file.
    return undefined
  }
}

/** A JWT (RFC 7523) that names the certificate by its thumbprint and is signed by its key. */
function assertionBy({ certificate, key }: Pair, clientId: string, audience: string): string {
  const seconds = Math.floor(Date.now() / 1000)
  const thumbprint = createHash('sha256').update(certificate.raw).digest('base64url')
  const header = { alg: 'PS256', typ: 'JWT', 'x5t#S256': thumbprint }
  const claims = {
    aud: audience,
    iss: clientId,
    sub: clientId,
    jti: randomUUID(),
    iat: seconds,
    // A clock that is a little fast must not make it a thing of the future.
    nbf: seconds - ASSERTION_SECONDS,
    exp: seconds + ASSERTION_SECONDS,
  }
  const signed = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.')
  const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST }
  return `${signed}.${sign('sha256', Buffer.from(signed), { key, ...padding }).toString('base64url')}`
}

function assertionFields(assertion: string): Record<string, string> {
  return { client_assertion_type: ASSERTION_TYPE, client_assertion: assertion }
}

function fromEnv(env: BackendDeps['env'], name: string, setting: string): string {
  const value = env[name]
  if (value !== undefined && value !== '') return value
  const text = `auth.${setting} is missing, and so is the environment variable ${name}, which Azure Workload Identity sets in a pod`
  throw new KmsError('ERR_CONFIG_INVALID', text)
}
