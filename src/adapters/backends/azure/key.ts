/** What does Azure say about a version of a key, which key id has it, and can it wrap? */
import { KmsError } from '../../../ports/errors.js'
import { kekPart, type KeyId } from '../../../ports/key_id.js'
import { keyIdOf, type IdentityTuple } from '../identity.js'
import { base64UrlAt, malformed, objectAt, textAt, type JsonObject } from '../remote/json_answer.js'
import { serviceOf } from './client.js'
import { vaultHost } from './cloud.js'
import type { AzureSettings } from './settings.js'

/** One version of a key, as it was read. */
export interface AzureKey {
  /** The key identifier of this version, `https://HOST/keys/NAME/VERSION`, as Azure writes it. */
  readonly kid: string
  /** 32 hexadecimal digits, in lower case. */
  readonly version: string
  /** `RSA`, `RSA-HSM`, `oct-HSM`, … */
  readonly kty: string
  /** Of the modulus; `undefined` for keys that are no RSA keys. */
  readonly bits: number | undefined
  /** `undefined`: Azure does not say. */
  readonly operations: readonly string[] | undefined
  readonly isEnabled: boolean
  /** Milliseconds since 1970; `undefined`: none. */
  readonly notBeforeMs: number | undefined
  readonly expiresMs: number | undefined
  readonly isExportable: boolean
  /** `Recoverable+Purgeable`, `Recoverable`, …; empty where Azure does not say. */
  readonly recoveryLevel: string
}

/** RSA keys that are large enough, and whose wrapped DEKs fit into the envelope. */
const RSA_BITS: readonly number[] = [2048, 3072, 4096]

/** Vault and key: names in Azure do not tell upper from lower case. */
function identityOf(settings: AzureSettings): IdentityTuple {
  return [vaultHost(settings), settings.keyName.toLowerCase()]
}

/** @param version 32 hexadecimal digits, in lower case. */
export function keyIdOfVersion(settings: AzureSettings, version: string): KeyId {
  return keyIdOf('azure', identityOf(settings), [version])
}

/** The part of the key id that all versions share; known before the key was ever read. */
export function kekPartOf(settings: AzureSettings): string {
  return kekPart(keyIdOf('azure', identityOf(settings)))
}

/** `the key kek in Azure Key Vault at https://…`, for messages. */
export function kekName(settings: AzureSettings, version?: string): string {
  const which = version === undefined ? '' : ` (version ${version})`
  return `the key ${settings.keyName}${which} in ${serviceOf(settings)}`
}

/**
 * The version in a key identifier, `https://HOST/keys/NAME/VERSION`; `undefined` when that is of another form or names
 * another key.
 */
export function versionIn(kid: string | undefined, { keyName }: AzureSettings): string | undefined {
  if (kid === undefined || !URL.canParse(kid)) return undefined
  const [, name, version] =
    /^\/keys\/([^/]+)\/([0-9a-f]{32})$/.exec(new URL(kid).pathname.toLowerCase()) ?? []
  return name === keyName.toLowerCase() ? version : undefined
}

/**
 * @param body The answer to `GET /keys/NAME[/VERSION]`.
 * @throws {KmsError} `ERR_BACKEND_RESPONSE` when it is not of the documented form.
 */
export function readKey(body: JsonObject, settings: AzureSettings): AzureKey {
  const key = objectAt(body, 'key')
  const attributes = objectAt(body, 'attributes')
  const kid = textAt(key, 'kid')
  const version = versionIn(kid, settings)
  const kty = textAt(key, 'kty')
  const enabled = attributes['enabled']
  if (kid === undefined || version === undefined || kty === undefined || typeof enabled !== 'boolean') {
    throw malformed(serviceOf(settings), 'a key without its identifier, type or state')
  }
  const operations = key['key_ops']
  return {
    kid,
    version,
    kty,
    bits: bitsOf(base64UrlAt(key, 'n')),
    operations: Array.isArray(operations) ? operations.filter((one) => typeof one === 'string') : undefined,
    isEnabled: enabled,
    notBeforeMs: momentAt(attributes, 'nbf'),
    expiresMs: momentAt(attributes, 'exp'),
    isExportable: attributes['exportable'] === true,
    recoveryLevel: textAt(attributes, 'recoveryLevel') ?? '',
  }
}

export type Algorithm = 'RSA-OAEP-256' | 'A256KW'

/** By the type of the key; `undefined`: it cannot wrap a DEK. */
export function algorithmOf({ kty, bits }: AzureKey): Algorithm | undefined {
  if (kty === 'oct-HSM') return 'A256KW'
  const isRsa = kty === 'RSA' || kty === 'RSA-HSM'
  return isRsa && bits !== undefined && RSA_BITS.includes(bits) ? 'RSA-OAEP-256' : undefined
}

/**
 * How this version wraps. Its dates are left to Azure, whose clock decides.
 *
 * @param needs What it will be asked to do.
 * @throws {KmsError} `ERR_KEY_DISABLED`, `ERR_KEY_UNUSABLE`.
 */
export function assertUsable(
  key: AzureKey,
  settings: AzureSettings,
  needs: readonly string[] = ['wrapKey', 'unwrapKey'],
): Algorithm {
  const kek = kekName(settings, key.version)
  const id = `${settings.vaultUrl.replace(/\/$/, '')}/keys/${settings.keyName}/${key.version}`
  const cure = `az keyvault key set-attributes --id ${id}`
  if (!key.isEnabled) {
    throw new KmsError('ERR_KEY_DISABLED', `${kek} is disabled; enable it: ${cure} --enabled true`)
  }
  const algorithm = algorithmOf(key)
  if (algorithm === undefined) {
    const size = key.bits === undefined ? '' : ` of ${key.bits} bits`
    const text = `${kek} is ${key.kty}${size}, which cannot wrap a DEK; it takes RSA or RSA-HSM of 2048, 3072 or 4096 bits, or oct-HSM of 256 bits`
    throw new KmsError('ERR_KEY_UNUSABLE', text)
  }
  const missing = needs.filter((one) => key.operations?.includes(one) === false)
  if (missing.length > 0) {
    // The option replaces the list, and what another plugin needs may stand in it.
    const all = [...(key.operations ?? []), ...missing].join(' ')
    const text = `${kek} is not for ${missing.join(' and ')}; permit it: ${cure} --ops ${all}`
    throw new KmsError('ERR_KEY_UNUSABLE', text)
  }
  return algorithm
}

function bitsOf(modulus: Buffer | undefined): number | undefined {
  if (modulus === undefined || modulus.length === 0) return undefined
  return modulus.length * 8 - Math.clz32(modulus.readUInt8(0)) + 24
}

/** Azure counts seconds. */
function momentAt(attributes: JsonObject, name: string): number | undefined {
  const value = attributes[name]
  return typeof value === 'number' && Number.isFinite(value) ? value * 1000 : undefined
}
