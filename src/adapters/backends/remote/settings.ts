/** Settings that every KMS on the network has: where it is, whom to trust, and where the secrets are. */
import { isIP } from 'node:net'
import * as z from 'zod'

/** A setting that says where a secret is. */
export const REFERENCE = /^(file:\/.+|env:[A-Za-z_][A-Za-z0-9_]*)$/s

/** An absolute path of a file. */
export function filePath(meaning: string) {
  return z
    .string()
    .regex(/^\/[^\p{Cc}]*[^/\p{Cc}]$/u, 'must be the absolute path of a file')
    .describe(meaning)
}

/**
 * Where a secret is: `file:/absolute/path` or `env:NAME`; see secret.ts.
 *
 * @param meaning What the secret is; how it is read is added.
 */
export function secretReference(meaning: string) {
  return z
    .string({ error: notAReference })
    .regex(REFERENCE, { error: notAReference })
    .describe(
      `${meaning} As \`file:/absolute/path\` (mode 0600 or 0400, read anew when it changes) or \`env:NAME\`.`,
    )
}

function notAReference(issue: { readonly input?: unknown }): string {
  if (issue.input === undefined) return 'is missing'
  return 'must be file:/absolute/path or env:NAME'
}

/**
 * The address of a service: `https://host[:port][/path]`. Plain `http://` only to the loopback address: a DEK crosses
 * the wire.
 */
export function serviceUrl(meaning: string) {
  return z
    .string()
    .superRefine((value, context) => {
      const mistake = urlMistake(value)
      if (mistake !== undefined) context.addIssue({ code: 'custom', message: mistake })
    })
    .describe(meaning)
}

function urlMistake(value: string): string | undefined {
  if (!URL.canParse(value)) return 'must be a URL such as https://kms.example.com:8200'
  const url = new URL(value)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with https://'
  if (url.username !== '' || url.password !== '') return 'must not contain a user name or password'
  if (url.search !== '' || url.hash !== '') return 'must end with its host, port or path: no "?" and no "#"'
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    return 'must begin with https://: DEKs cross the network (http:// is for 127.0.0.1, ::1 and localhost)'
  }
  return undefined
}

/** @param host As in `URL.hostname`. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '')
  return bare === 'localhost' || bare === '::1' || (isIP(bare) === 4 && bare.startsWith('127.'))
}

/** Spread into the settings of a backend that speaks TLS. */
export const tlsSettings = {
  caFile: filePath(
    'PEM file with the certificates of the authorities to trust, instead of those of the system. Read anew when it changes.',
  ).optional(),
}

/** Spread beside {@link tlsSettings} where the service takes a client certificate; both or neither. */
export const clientCertificateSettings = {
  clientCertFile: filePath(
    'PEM file with our client certificate and its chain. Read anew when it changes, together with the key.',
  ).optional(),
  clientKeyFile: filePath('PEM file with the private key of `clientCertFile`, mode 0600 or 0400.').optional(),
}
