/** A key in the fake of Google Cloud, and a wrapper over it with the credentials of a service account. */
import { generateKeyPairSync } from 'node:crypto'
import { loadAuthLibrary, type LoadAuthLibrary } from '../../src/adapters/backends/gcp/auth_library.js'
import { gcpBackend } from '../../src/adapters/backends/gcp/index.js'
import { settings } from '../../src/adapters/backends/gcp/settings.js'
import type { BackendDeps } from '../../src/adapters/backends/backend.js'
import { createSystemClock } from '../../src/adapters/system/clock.js'
import type { KeyWrapper } from '../../src/ports/key_wrapper.js'
import type { Logger } from '../../src/ports/logger.js'
import type { Finding } from '../../src/ports/operations.js'
import { RecordingLogger } from '../doubles/recording_logger.js'
import { KEY_NAME } from './fakes/gcp.js'

export const ACCOUNT = 'kmsplugin@acme-prod.iam.gserviceaccount.com'

export function newPrivateKey(): string {
  return generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  }).privateKey
}

/** @param url Of the fake, in the place of https://oauth2.googleapis.com. */
export function serviceAccountJson(privateKey: string, url: string, change: object = {}): string {
  return JSON.stringify({
    type: 'service_account',
    project_id: 'acme-prod',
    private_key_id: '0123456789abcdef',
    private_key: privateKey,
    client_email: ACCOUNT,
    token_uri: `${url}/token`,
    universe_domain: 'googleapis.com',
    ...change,
  })
}

export interface Opening {
  /** Default: Google's own. */
  readonly endpoint?: string
  /** Path. */
  readonly credentials?: string
  readonly caFile?: string
  readonly additionalAuthenticatedData?: string
  readonly keyName?: string
  readonly env?: Readonly<Record<string, string>>
  readonly logger?: Logger
  readonly callTimeoutMs?: number
  readonly isPrimary?: boolean
  readonly load?: LoadAuthLibrary
}

export function openGcp(opening: Opening): KeyWrapper {
  return gcpBackend(opening.load ?? loadAuthLibrary).open(sectionOf(opening), depsOf(opening))
}

export async function checkGcp(opening: Opening): Promise<readonly Finding[]> {
  return gcpBackend(opening.load ?? loadAuthLibrary).check(sectionOf(opening), depsOf(opening))
}

function sectionOf({
  endpoint,
  credentials,
  caFile,
  additionalAuthenticatedData,
  keyName = KEY_NAME,
}: Opening) {
  return settings.parse({
    backend: 'gcp',
    keyName,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials: `file:${credentials}` }),
    ...(caFile === undefined ? {} : { caFile }),
    ...(additionalAuthenticatedData === undefined ? {} : { additionalAuthenticatedData }),
  })
}

function depsOf({ env = {}, logger, callTimeoutMs = 20_000, isPrimary = true }: Opening): BackendDeps {
  return {
    key: 'kek',
    isPrimary,
    clock: createSystemClock(),
    logger: logger ?? new RecordingLogger(),
    callTimeoutMs,
    env,
    stateDir: undefined,
    onRestart: () => undefined,
    onTokenHealth: () => undefined,
  }
}
