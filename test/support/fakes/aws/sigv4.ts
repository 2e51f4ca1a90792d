/** Is a request signed as AWS documents Signature Version 4? Computed anew from the request itself. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { FakeRequest } from '../fake_server.js'

export interface Signer {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  /** On the wall clock of the fake. */
  readonly expiresAtMs?: number
}

export interface Refusal {
  readonly name: string
  readonly message: string
}

const WINDOW_MS = 5 * 60_000
const ALGORITHM = 'AWS4-HMAC-SHA256'

/** @returns Who signed, and for which region; or how AWS refuses. */
export function verifySignature<S extends Signer>(
  request: FakeRequest,
  signers: ReadonlyMap<string, S>,
  service: string,
  nowMs: number,
): { readonly signer: S; readonly region: string } | Refusal {
  const header = (name: string): string => [request.headers[name] ?? ''].flat().join(',')
  const authorization = header('authorization')
  if (authorization === '') {
    return { name: 'MissingAuthenticationTokenException', message: 'Request is missing Authentication Token' }
  }
  const fields =
    /^AWS4-HMAC-SHA256 Credential=([^/,]+)\/([0-9]{8})\/([^/,]+)\/([^/,]+)\/aws4_request, ?SignedHeaders=([^, ]+), ?Signature=([0-9a-f]{64})$/.exec(
      authorization,
    )
  const date = header('x-amz-date')
  if (fields === null || !/^[0-9]{8}T[0-9]{6}Z$/.test(date)) {
    return { name: 'IncompleteSignatureException', message: 'Authorization header is not as it must be' }
  }
  const [, accessKeyId = '', day = '', region = '', scopeService = '', signed = '', signature = ''] = fields
  const signer = signers.get(accessKeyId)
  if (signer === undefined || (signer.sessionToken ?? '') !== header('x-amz-security-token')) {
    return {
      name: 'UnrecognizedClientException',
      message: 'The security token included in the request is invalid.',
    }
  }
  const late = clockRefusal(date, nowMs)
  if (late !== undefined) return late
  const names = signed.split(';')
  const mustBeSigned = Object.keys(request.headers).filter(
    (name) => name === 'host' || name.startsWith('x-amz-'),
  )
  const scope = `${day}/${region}/${service}/aws4_request`
  const canonical = [
    request.method,
    request.url.pathname,
    [...request.url.searchParams]
      .map(([k, v]) => `${encodeURIComponent(k)}=${encodeURIComponent(v)}`)
      .sort()
      .join('&'),
    ...names.map((name) => `${name}:${header(name).trim().replace(/ +/g, ' ')}`),
    '',
    signed,
    sha256(request.body),
  ].join('\n')
  const toSign = [ALGORITHM, date, scope, sha256(Buffer.from(canonical))].join('\n')
  const key = [day, region, service, 'aws4_request'].reduce<Buffer | string>(
    (secret, part) => hmac(secret, part),
    `AWS4${signer.secretAccessKey}`,
  )
  const isRight =
    scopeService === service &&
    date.startsWith(day) &&
    mustBeSigned.every((name) => names.includes(name)) &&
    timingSafeEqual(hmac(key, toSign), Buffer.from(signature, 'hex'))
  if (!isRight) {
    return {
      name: 'InvalidSignatureException',
      message:
        'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.',
    }
  }
  if (signer.expiresAtMs !== undefined && signer.expiresAtMs <= nowMs) {
    return { name: 'ExpiredTokenException', message: 'The security token included in the request is expired' }
  }
  return { signer, region }
}

function clockRefusal(date: string, nowMs: number): Refusal | undefined {
  const [y, mo, d, h, mi, s] = [0, 4, 6, 9, 11, 13].map((at, i) =>
    Number(date.slice(at, at + (i === 0 ? 4 : 2))),
  )
  const signedMs = Date.UTC(y!, mo! - 1, d, h, mi, s)
  const name = 'InvalidSignatureException'
  const now = stamp(nowMs)
  if (signedMs < nowMs - WINDOW_MS) {
    const message = `Signature expired: ${date} is now earlier than ${stamp(nowMs - WINDOW_MS)} (${now} - 5 min.)`
    return { name, message }
  }
  if (signedMs > nowMs + WINDOW_MS) {
    const message = `Signature not yet current: ${date} is still later than ${stamp(nowMs + WINDOW_MS)} (${now} + 5 min.)`
    return { name, message }
  }
  return undefined
}

function stamp(ms: number): string {
  return new Date(ms).toISOString().replace(/[-:]|\.[0-9]+/g, '')
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function hmac(key: Buffer | string, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
