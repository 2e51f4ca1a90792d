/** The official client of Azure Key Vault and Entra, from its folder outside the tree; as much of it as the tests use. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { azureClientFolder } from '../../../scripts/azure_client.mjs'

export interface ClientOptions {
  readonly tlsOptions?: { readonly ca: string }
  readonly disableChallengeResourceVerification?: boolean
  readonly serviceVersion?: string
  readonly authorityHost?: string
  readonly disableInstanceDiscovery?: boolean
  readonly retryOptions?: { readonly maxRetries: number }
}

/** Opaque here: what logs in. */
export interface TokenCredential {
  getToken(scopes: string): Promise<{ readonly token: string } | null>
}

export interface OfficialKey {
  readonly id?: string
  readonly keyType?: string
  readonly keyOperations?: readonly string[]
  readonly properties: {
    readonly version?: string
    readonly enabled?: boolean
    readonly recoveryLevel?: string
  }
}

interface KeyClient {
  getKey(name: string, options?: { readonly version?: string }): Promise<OfficialKey>
  getDeletedKey(name: string): Promise<OfficialKey>
}

interface CryptographyClient {
  encrypt(parameters: {
    readonly algorithm: string
    readonly plaintext: Uint8Array
  }): Promise<{ readonly result: Uint8Array }>
  wrapKey(
    algorithm: string,
    key: Uint8Array,
  ): Promise<{ readonly result: Uint8Array; readonly keyID?: string }>
  unwrapKey(algorithm: string, bytes: Uint8Array): Promise<{ readonly result: Uint8Array }>
}

interface OfficialClient {
  readonly KeyClient: new (vault: string, credential: TokenCredential, options: ClientOptions) => KeyClient
  readonly CryptographyClient: new (
    id: string,
    credential: TokenCredential,
    options: ClientOptions,
  ) => CryptographyClient
}

interface OfficialIdentity {
  readonly ClientSecretCredential: new (
    tenant: string,
    client: string,
    secret: string,
    options: ClientOptions,
  ) => TokenCredential
  readonly ClientCertificateCredential: new (
    tenant: string,
    client: string,
    certificate: { readonly certificatePath: string },
    options: ClientOptions,
  ) => TokenCredential
  readonly WorkloadIdentityCredential: new (
    options: ClientOptions & {
      readonly tenantId: string
      readonly clientId: string
      readonly tokenFilePath: string
    },
  ) => TokenCredential
  readonly ManagedIdentityCredential: new (options: ClientOptions) => TokenCredential
}

/** Only where `azureClientMissing` says that it is there. */
export function officialClient(): OfficialClient & OfficialIdentity {
  const load = createRequire(join(azureClientFolder(), 'package.json'))
  const keys = load('@azure/keyvault-keys') as OfficialClient
  const identity = load('@azure/identity') as OfficialIdentity
  return { ...keys, ...identity }
}
