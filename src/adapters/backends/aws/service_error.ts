/** An error that the SDK threw, in our words. */
import { KmsError } from '../../../ports/errors.js'
import { retryAfterMs } from '../remote/retry_after.js'
import { isAboutCredentials, meaningOf, meaningOfStatus, type Place } from './errors.js'

/** Whether the service refused the credentials themselves, so that others are needed. */
export function refusesCredentials(error: unknown): boolean {
  const { name, message } = partsOf(error)
  return isAboutCredentials(name, message)
}

/**
 * An answer of AWS that is an error, or that the SDK could not read. Its own message is in none of ours: it quotes
 * what was sent.
 */
export function serviceError(error: unknown, place: Place): KmsError {
  if (error instanceof KmsError) return error
  const { name, message, status, headers, requestId } = partsOf(error)
  const meaning =
    meaningOf(name, message, place) ?? (status === undefined ? undefined : meaningOfStatus(status))
  const what = nameOf(name, status)
  if (meaning === undefined) {
    return new KmsError('ERR_INTERNAL', `${place.service} could not be asked: the AWS SDK fails with ${what}`)
  }
  const id = requestId === undefined ? '' : `, request ${requestId}`
  return new KmsError(meaning.code, `${place.service} ${meaning.says(place)} (${what}${id})`, {
    retryAfterMs: retryAfterMs(headers['retry-after']),
  })
}

/** Names of errors are short words; anything else is not repeated. */
function nameOf(name: string, status: number | undefined): string {
  const word = /^[A-Za-z]{1,64}$/.test(name) && name !== 'Unknown' ? name : 'no name'
  return status === undefined ? word : `${word}, status ${status}`
}

interface ErrorParts {
  readonly name: string
  readonly message: string
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly requestId: string | undefined
}

/** What the SDK hangs on its errors. */
interface SdkErrorFields {
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> }
  readonly $metadata?: { readonly requestId?: string; readonly httpStatusCode?: number }
}

function partsOf(error: unknown): ErrorParts {
  const { $response, $metadata } = (error ?? {}) as SdkErrorFields
  const { name = '', message = '' } = error instanceof Error ? error : {}
  const requestId = $metadata?.requestId
  return {
    name,
    message,
    status: $response?.statusCode ?? $metadata?.httpStatusCode,
    headers: $response?.headers ?? {},
    requestId: requestId !== undefined && /^[\w-]{1,64}$/.test(requestId) ? requestId : undefined,
  }
}
