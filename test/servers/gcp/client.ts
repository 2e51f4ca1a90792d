/** Google's own client of Cloud KMS, in its REST mode, against the fake: only what the tests use of it. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { googleClientPath } from '../../../scripts/google_client.mjs'

/** google.protobuf.Int64Value. */
interface Int64 {
  readonly value: string | number
}

export interface EncryptResponse {
  readonly name: string
  readonly ciphertext: Uint8Array
  readonly ciphertextCrc32c: Int64
  readonly verifiedPlaintextCrc32c: boolean
  readonly verifiedAdditionalAuthenticatedDataCrc32c: boolean
  readonly protectionLevel: string
}

export interface DecryptResponse {
  readonly plaintext: Uint8Array
  readonly plaintextCrc32c: Int64
  readonly usedPrimary: boolean
}

export interface CryptoKey {
  readonly name: string
  readonly purpose: string
  readonly primary: { readonly name: string; readonly state: string; readonly algorithm: string } | null
}

export interface GoogleClient {
  getCryptoKey(request: { name: string }): Promise<readonly [CryptoKey]>
  encrypt(request: object): Promise<readonly [EncryptResponse]>
  decrypt(request: object): Promise<readonly [DecryptResponse]>
  close(): Promise<void>
}

interface Module {
  readonly KeyManagementServiceClient: new (options: object) => GoogleClient
}

interface AuthModule {
  readonly OAuth2Client: new () => { setCredentials(credentials: { access_token: string }): void }
}

/** @param accessToken One that the fake gave out. */
export function openGoogleClient(port: number, accessToken: string): GoogleClient {
  const load = createRequire(join(googleClientPath(), 'package.json'))
  const { KeyManagementServiceClient } = load('@google-cloud/kms') as Module
  const { OAuth2Client } = load('google-auth-library') as AuthModule
  const authClient = new OAuth2Client()
  authClient.setCredentials({ access_token: accessToken })
  return new KeyManagementServiceClient({
    fallback: true,
    protocol: 'http',
    apiEndpoint: '127.0.0.1',
    port,
    authClient,
  })
}
