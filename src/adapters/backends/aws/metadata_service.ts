/** What do the services on this machine say that give credentials: that of the instance, that of the container? */
import { readFile } from 'node:fs/promises'
import { KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { HttpClient, type HttpAnswer, type HttpRequest } from '../remote/http_client.js'
import { isLoopback } from '../remote/settings.js'

export type Env = Readonly<Record<string, string | undefined>>

/** They answer in milliseconds or not at all. */
const TIMEOUT_MS = 1000

const IPV4 = 'http://169.254.169.254'
const IPV6 = 'http://[fd00:ec2::254]'
const CONTAINER = 'http://169.254.170.2'

/** The hosts that ECS and EKS name: the only ones off this machine to which a token may go without TLS. */
const CONTAINER_HOSTS = ['169.254.170.2', '169.254.170.23', '[fd00:ec2::23]']

/** Where the instance metadata service is; `undefined` when it was switched off. */
export function instanceMetadataUrl(env: Env): URL | undefined {
  const disabled = env['AWS_EC2_METADATA_DISABLED'] ?? ''
  if (disabled !== '' && disabled !== 'false') return undefined
  const named = env['AWS_EC2_METADATA_SERVICE_ENDPOINT']
  if (named !== undefined && URL.canParse(named)) return new URL(named)
  return new URL(env['AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE']?.toLowerCase() === 'ipv6' ? IPV6 : IPV4)
}

/** Where the credentials of a container come from (ECS, EKS Pod Identity); `undefined` when we are in none. */
export function containerUrl(env: Env): URL | undefined {
  const relative = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI']
  const full = relative === undefined ? env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] : `${CONTAINER}${relative}`
  return full !== undefined && URL.canParse(full) ? new URL(full) : undefined
}

/** The region that this instance is in; `undefined` when there is no such service or it does not say. */
export async function instanceRegion(env: Env, logger: Logger): Promise<string | undefined> {
  const url = instanceMetadataUrl(env)
  if (url === undefined) return undefined
  return withClient(url, logger, async (send) => {
    const token = await sessionToken(send)
    const answer = await send({ method: 'GET', path: '/latest/meta-data/placement/region', headers: token })
    const region = answer.body.toString('utf8').trim()
    return answer.status === 200 && /^[a-z0-9-]{1,32}$/.test(region) ? region : undefined
  }).catch(() => undefined)
}

/**
 * What is wrong with the service that should have given credentials, in words that end a sentence.
 *
 * @throws {KmsError} `ERR_BACKEND_UNREACHABLE` when it does not answer.
 */
export async function whyNoRole(url: URL, logger: Logger): Promise<string> {
  return withClient(url, logger, async (send) => {
    const answer = await send({
      method: 'GET',
      path: '/latest/meta-data/iam/security-credentials/',
      headers: await sessionToken(send),
    })
    return answer.status === 404
      ? 'says that this instance has no role; attach an instance profile'
      : `gives none (status ${answer.status})`
  })
}

/** As {@link whyNoRole}, of the service for containers. */
export async function whyNoContainerCredentials(url: URL, env: Env, logger: Logger): Promise<string> {
  const isSafe =
    url.protocol === 'https:' || isLoopback(url.hostname) || CONTAINER_HOSTS.includes(url.hostname)
  // Nor does the SDK ask there.
  if (!isSafe) return 'was not asked: AWS_CONTAINER_CREDENTIALS_FULL_URI must begin with https://'
  const file = env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE']
  let token = env['AWS_CONTAINER_AUTHORIZATION_TOKEN']
  if (file !== undefined) {
    token = await readFile(file, 'utf8').catch(() => undefined)
    if (token === undefined)
      return `was not asked: the file ${file} (AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE) cannot be read`
  }
  const headers = token === undefined ? {} : { authorization: token }
  return withClient(url, logger, async (send) => {
    const { status } = await send({ method: 'GET', path: `${url.pathname}${url.search}`, headers })
    return `gives none (status ${status}); look at the association of role and service account, and at its agent`
  })
}

type Send = (request: HttpRequest) => Promise<HttpAnswer>

async function withClient<T>(url: URL, logger: Logger, work: (send: Send) => Promise<T>): Promise<T> {
  const origin = new URL(url.origin)
  const service = `the service for credentials at ${url.origin}`
  const client = new HttpClient({ url: origin, service, tls: {}, timeoutMs: TIMEOUT_MS, logger })
  try {
    return await work(async (request) => client.send(request))
  } catch (error) {
    if (error instanceof KmsError && error.code !== 'ERR_DEADLINE_EXCEEDED') throw error
    throw new KmsError('ERR_BACKEND_UNREACHABLE', `${service} does not answer`)
  } finally {
    client.close()
  }
}

async function sessionToken(send: Send): Promise<Record<string, string>> {
  const headers = { 'x-aws-ec2-metadata-token-ttl-seconds': '60' }
  const { status, body } = await send({ method: 'PUT', path: '/latest/api/token', headers })
  return status === 200 ? { 'x-aws-ec2-metadata-token': body.toString('utf8') } : {}
}
