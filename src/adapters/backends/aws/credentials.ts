/** With which credentials do we sign? Those of the first source that has some, held until they end or are refused. */
import type { Clock } from '../../../ports/clock.js'
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { Credential, untilAborted, type Lease } from '../remote/credential.js'
import { credentialsError, type Sources } from './credentials_error.js'
import type { AwsSdk } from './sdk.js'
import type { SdkHttp } from './sdk_http.js'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

export interface CredentialParts extends Sources {
  readonly sdk: AwsSdk
  readonly clock: Clock
  readonly region: string
  readonly http: SdkHttp
  readonly logger: Logger
}

/** STS may be on another continent; a file or the metadata service take milliseconds. */
export const CREDENTIALS_TIMEOUT_MS = 5000

/** Of each request to the metadata services. */
const SOURCE_TIMEOUT_MS = 1000

/** With a clock that is ahead, fresh credentials seem to have ended: they are used, and the service says so if they have. */
const MIN_LIFETIME_MS = 30_000

const RENEW_AFTER = 0.75

/** A process of a profile (credential_process) that hangs is not ended by the SDK, and costs one more at each try. */
const MAX_UNDER_WAY = 4

/** Beyond that: what hung for the sake of an outage may hang for ever, and the next one would not. */
const ONE_MORE_MS = 60_000

export function awsCredential(parts: CredentialParts): Credential<AwsCredentials> {
  const find = atMost(MAX_UNDER_WAY, parts.clock, async () => chain(parts)())
  return new Credential({
    clock: parts.clock,
    logger: parts.logger,
    what: 'the AWS credentials',
    timeoutMs: CREDENTIALS_TIMEOUT_MS,
    renewAfter: RENEW_AFTER,
    obtain: async (_held, signal) => obtain(find, parts, signal),
  })
}

/** Whether a source gave the very same again. */
export function sameCredentials(a: AwsCredentials, b: AwsCredentials): boolean {
  return (
    a.accessKeyId === b.accessKeyId &&
    a.secretAccessKey === b.secretAccessKey &&
    a.sessionToken === b.sessionToken
  )
}

/** Whoever would be one too many fails, until one of those before has ended or a minute has passed. */
export function atMost<T>(max: number, clock: Clock, work: () => Promise<T>): () => Promise<T> {
  let underWay = 0
  let begunMs = -Infinity
  return async () => {
    if (underWay >= max && clock.nowMs() - begunMs < ONE_MORE_MS) {
      throw new KmsError(
        'ERR_BACKEND_UNREACHABLE',
        `AWS credentials were asked for ${underWay} times, and none of these has ended: end what hangs (the credential_process of a profile?), no restart is needed`,
      )
    }
    underWay += 1
    begunMs = clock.nowMs()
    try {
      return await work()
    } finally {
      underWay -= 1
    }
  }
}

type Found = Awaited<ReturnType<ReturnType<AwsSdk['defaultProvider']>>>

/** A chain of its own each time: the SDK's keeps what it found, and the files that it read. */
function chain({ sdk, http, region, profile, logger }: CredentialParts): () => Promise<Found> {
  return sdk.defaultProvider({
    ...(profile === undefined ? {} : { profile }),
    ignoreCache: true,
    timeout: SOURCE_TIMEOUT_MS,
    maxRetries: 0,
    // Without a token, whatever on this machine can be made to fetch a URL could fetch our credentials.
    ec2MetadataV1Disabled: true,
    clientConfig: { region, requestHandler: http, maxAttempts: 1 },
    // Without one the SDK writes to the console.
    logger: quiet(logger),
  })
}

async function obtain(
  find: () => Promise<Found>,
  parts: CredentialParts,
  signal: AbortSignal,
): Promise<Lease<AwsCredentials>> {
  try {
    const found = await untilAborted(find(), signal, 'no source gave AWS credentials in time')
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = found
    const value = { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) }
    const lifetimeMs =
      expiration === undefined ? undefined : Math.max(expiration.getTime() - Date.now(), MIN_LIFETIME_MS)
    return { value, lifetimeMs }
  } catch (error) {
    throw await credentialsError(error, parts, parts.logger)
  }
}

/** What the SDK says beside its answers is worth a line at debug; errors are none, since they carry what was sent. */
function quiet(logger: Logger) {
  const tell = (...words: readonly unknown[]): void => {
    const [text] = words
    if (typeof text === 'string')
      logger.debug('the AWS SDK warns', { reason: text.replace(/\s+/g, ' ').slice(0, 200) })
  }
  const drop = (): void => undefined
  return { debug: drop, info: drop, warn: tell, error: drop }
}
