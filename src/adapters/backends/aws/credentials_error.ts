/** Why are there no credentials, and which of their sources was looked at? */
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'
import { serviceError } from './service_error.js'
import {
  containerUrl,
  instanceMetadataUrl,
  whyNoContainerCredentials,
  whyNoRole,
  type Env,
} from './metadata_service.js'

/** What decides where the chain of the SDK looks. */
export interface Sources {
  readonly env: Env
  /** As configured. */
  readonly profile: string | undefined
}

/** @param error What the chain threw. */
export async function credentialsError(error: unknown, sources: Sources, logger: Logger): Promise<KmsError> {
  if (error instanceof KmsError) return error
  if (error instanceof Error && '$metadata' in error) return roleError(error, sources)
  const path = pathOf(error)
  if (path !== undefined) return tokenFileError(path, errorCode(error) ?? UNKNOWN_ERROR)
  return noneFound(sources, logger)
}

/** STS answered, and gave none. */
function roleError(error: Error, { env, profile }: Sources): KmsError {
  const isWebIdentity = profile === undefined && env['AWS_WEB_IDENTITY_TOKEN_FILE'] !== undefined
  const role = (isWebIdentity ? env['AWS_ROLE_ARN'] : undefined) ?? 'the role of the profile'
  const action = isWebIdentity ? 'sts:AssumeRoleWithWebIdentity' : 'sts:AssumeRole'
  const place = { service: 'AWS STS', subject: role, action }
  const { code, message, retryAfterMs } = serviceError(error, place)
  const refused = (why: string) => new KmsError('ERR_LOGIN_REFUSED', `AWS STS ${why} (${error.name})`)
  if (code === 'ERR_ACCESS_DENIED' && !isWebIdentity) {
    return refused(
      `does not let us assume ${role}; its trust policy must name whoever the source of the profile is, whose own policy must allow sts:AssumeRole`,
    )
  }
  if (code === 'ERR_ACCESS_DENIED') {
    return refused(
      `does not let us assume ${role}; its trust policy must name the OIDC provider of the cluster and this service account`,
    )
  }
  if (error.name.startsWith('InvalidIdentityToken')) {
    return refused(
      `does not accept the web identity token for ${role}; is its issuer an OIDC provider in IAM, with the audience sts.amazonaws.com?`,
    )
  }
  if (code === 'ERR_CREDENTIALS_EXPIRED' && isWebIdentity) {
    return refused('says that the web identity token has expired; the kubelet should have replaced the file')
  }
  return new KmsError(code, message, { retryAfterMs })
}

/** A file of a token, as Node.js names it in its errors. */
function tokenFileError(path: string, code: string): KmsError {
  return new KmsError(
    'ERR_CONFIG_INVALID',
    `the token file ${path}, which the environment names for AWS credentials, cannot be read (${code}); static pods have no service account tokens: use the role of the instance there`,
  )
}

/** Every link of the chain passed on to the next. The last that was configured is asked once more, for its reason. */
async function noneFound({ env, profile }: Sources, logger: Logger): Promise<KmsError> {
  const name = profile ?? env['AWS_PROFILE']
  const looked = [
    name === undefined ? 'the environment (AWS_ACCESS_KEY_ID)' : undefined,
    `the profile ${name ?? 'default'} in ${env['AWS_SHARED_CREDENTIALS_FILE'] ?? '~/.aws/credentials'} and ${env['AWS_CONFIG_FILE'] ?? '~/.aws/config'}`,
    'web identity (AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN)',
  ].filter((one) => one !== undefined)
  const before = `no AWS credentials in ${looked.join(', ')}`
  const refused = (why: string) => new KmsError('ERR_LOGIN_REFUSED', `${before}; ${why}`)
  try {
    const container = containerUrl(env)
    if (container !== undefined) {
      const why = await whyNoContainerCredentials(container, env, logger)
      return refused(`the container service at ${container.origin} ${why}`)
    }
    const instance = instanceMetadataUrl(env)
    if (instance === undefined)
      return refused('the instance metadata service is switched off (AWS_EC2_METADATA_DISABLED)')
    return refused(`the instance metadata service at ${instance.origin} ${await whyNoRole(instance, logger)}`)
  } catch (error) {
    const why = error instanceof KmsError ? error.message : 'it cannot be asked'
    return new KmsError(
      'ERR_BACKEND_UNREACHABLE',
      `${before}; the last source is out: ${why} (not on EC2? a hop limit of 1 in a pod?)`,
    )
  }
}

function pathOf(error: unknown): string | undefined {
  return error instanceof Error && 'path' in error && typeof error.path === 'string' ? error.path : undefined
}
