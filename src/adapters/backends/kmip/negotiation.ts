/** Which version of KMIP do the server and we both speak? Asked on each new connection, so that it is never stale. */
import { KmsError } from '../../../ports/errors.js'
import { refusalError, type Refusal } from './errors.js'
import { all, type Fields } from './fields.js'
import { versionIn, versionItem, type Answer } from './messages.js'
import { operations, queryFunctions, tags, type Operation } from './tags.js'
import { enumeration } from './ttlv.js'
import { DISCOVERY, sameVersion, tooOld, versionText, type KmipVersion } from './version.js'

export type Ask = (version: KmipVersion, operation: Operation, payload: Fields) => Promise<Answer>

/** How a server says that it does not read messages of this version. */
const otherVersion: readonly number[] = [0x04, 0x3f]
const OPERATION_NOT_SUPPORTED = 0x05

/**
 * The best of `wanted` that the server speaks.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID`: none of them; else as errors.ts says of a refusal.
 */
export async function negotiate(
  ask: Ask,
  wanted: readonly KmipVersion[],
  service: string,
): Promise<KmipVersion> {
  const payload = [...wanted, ...tooOld].map(versionItem)
  for (const version of [DISCOVERY, ...wanted]) {
    const answer = await ask(version, operations.DISCOVER_VERSIONS, payload)
    if (answer.isSuccess) return chosen(versionsIn(answer.payload), wanted, service)
    if (answer.reason === OPERATION_NOT_SUPPORTED) return tried(ask, wanted, service)
    if (!otherVersion.includes(answer.reason)) throw refused(answer, operations.DISCOVER_VERSIONS, service)
  }
  throw nothingInCommon(service, '')
}

function versionsIn(payload: Fields): readonly KmipVersion[] {
  return all(payload, tags.PROTOCOL_VERSION, 'structure').map(versionIn)
}

function chosen(
  offered: readonly KmipVersion[],
  wanted: readonly KmipVersion[],
  service: string,
): KmipVersion {
  const best = wanted.find((version) => offered.some((other) => sameVersion(version, other)))
  if (best !== undefined) return best
  throw nothingInCommon(service, `; it speaks ${offered.map(versionText).join(', ') || 'none that we know'}`)
}

/** A server that cannot be asked for its versions is asked something else in each. */
async function tried(ask: Ask, wanted: readonly KmipVersion[], service: string): Promise<KmipVersion> {
  for (const version of wanted) {
    const payload = [enumeration(tags.QUERY_FUNCTION, queryFunctions.OPERATIONS)]
    const answer = await ask(version, operations.QUERY, payload)
    if (answer.isSuccess) return version
    if (!otherVersion.includes(answer.reason)) throw refused(answer, operations.QUERY, service)
  }
  throw nothingInCommon(service, '; it cannot be asked for its versions')
}

function refused(
  { reason, message }: Extract<Answer, { isSuccess: false }>,
  operation: Operation,
  service: string,
): KmsError {
  const refusal: Refusal = { reason, message, operation }
  return refusalError(refusal, service, '')
}

function nothingInCommon(service: string, what: string): KmsError {
  const text = `${service} speaks none of KMIP 1.2, 1.3, 1.4, 2.0 and 2.1${what}; Encrypt and Decrypt came with 1.2`
  return new KmsError('ERR_CONFIG_INVALID', text)
}
