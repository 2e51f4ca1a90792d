/** One client of the SDK: which region, which endpoint, whose credentials, over which connections? */
import type { KMS, KMSClientConfig } from '@aws-sdk/client-kms'
import { KmsError } from '../../../ports/errors.js'
import type { BackendDeps } from '../backend.js'
import type { Credential } from '../remote/credential.js'
import { awsCredential, type AwsCredentials } from './credentials.js'
import { accountOf, regionOf } from './key_reference.js'
import { instanceRegion } from './metadata_service.js'
import type { AwsSdk, LoadSdk } from './sdk.js'
import type { SdkHttp } from './sdk_http.js'
import type { AwsSettings } from './settings.js'

export type ConnectionDeps = Pick<BackendDeps, 'clock' | 'logger' | 'callTimeoutMs' | 'env'>

export interface Connection {
  readonly kms: KMS
  readonly credential: Credential<AwsCredentials>
  /** In messages. */
  readonly service: string
}

/** The SDK asks again for credentials that have ended, so it asks for each request; who holds them is ours to say. */
const ASK_EACH_TIME = new Date(0)

/** @throws {KmsError} `ERR_CONFIG_INVALID`: no SDK, or no region. */
export async function connect(
  settings: AwsSettings,
  deps: ConnectionDeps,
  http: SdkHttp,
  loadSdk: LoadSdk,
): Promise<Connection> {
  const sdk = await loadSdk()
  const region = await regionFor(settings, deps, sdk)
  const { profile, endpoint } = settings
  const { clock, logger, env } = deps
  const credential = awsCredential({ sdk, clock, logger, env, profile, region, http })
  const kms = new sdk.KMS({
    ...common(settings),
    region,
    maxAttempts: 1,
    requestHandler: http,
    credentials: async () => ({ ...(await credential.get()), expiration: ASK_EACH_TIME }),
  })
  wipeAnswers(kms)
  if (settings.sourceArn !== undefined) sendSource(kms, settings.sourceArn)
  const service = endpoint === undefined ? `AWS KMS in ${region}` : `AWS KMS at ${endpoint}`
  return { kms, credential, service }
}

function common({ endpoint, profile }: AwsSettings): KMSClientConfig {
  return { ...(endpoint === undefined ? {} : { endpoint }), ...(profile === undefined ? {} : { profile }) }
}

async function regionFor(
  settings: AwsSettings,
  { env, logger }: ConnectionDeps,
  sdk: AwsSdk,
): Promise<string> {
  const named = settings.region ?? regionOf(settings.keyId)
  if (named !== undefined) return named
  const byDefault = env['AWS_DEFAULT_REGION'] ?? ''
  // The SDK for Go and the command line of AWS know it, that for JavaScript does not.
  if ((env['AWS_REGION'] ?? '') === '' && byDefault !== '') return byDefault
  const probe = new sdk.KMS({ ...common(settings), requestHandler: {} })
  try {
    return await probe.config.region()
  } catch {
    // The SDK looks at AWS_REGION and the profile, and stops there.
  } finally {
    probe.destroy()
  }
  const region = await instanceRegion(env, logger)
  if (region !== undefined) return region
  throw new KmsError(
    'ERR_CONFIG_INVALID',
    `the region of the KEK ${settings.keyId} is unknown: set region, or keyId to the ARN of the key (AWS_REGION, AWS_DEFAULT_REGION, the profile and the instance name none)`,
  )
}

/** The bytes of an answer may hold a DEK; what the SDK made of them is ours to wipe. */
function wipeAnswers(kms: KMS): void {
  kms.middlewareStack.add(
    (next) => async (args) => {
      const result = await next(args)
      const { body } = result.response as { readonly body?: unknown }
      if (Buffer.isBuffer(body)) body.fill(0)
      return result
    },
    { step: 'deserialize', priority: 'high', name: 'kmspluginWipesAnswers' },
  )
}

function sendSource(kms: KMS, sourceArn: string): void {
  kms.middlewareStack.add(
    (next) => async (args) => {
      const { headers } = args.request as { readonly headers: Record<string, string> }
      headers['x-amz-source-arn'] = sourceArn
      headers['x-amz-source-account'] = accountOf(sourceArn)
      return next(args)
    },
    { step: 'build', name: 'kmspluginSource' },
  )
}
