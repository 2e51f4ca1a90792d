/** What can be configured for a key on a KMIP server? */
import { isIP } from 'node:net'
import * as z from 'zod'
import { filePath, tlsSettings } from '../remote/settings.js'

const DEFAULT_PORT = 5696
/** What servers store as a name; longer ones are a mistake. */
const MAX_NAME_BYTES = 255

export interface Address {
  /** Without brackets. */
  readonly host: string
  readonly port: number
}

function name(meaning: string) {
  return z
    .string()
    .regex(/^[^\p{Cc}]+$/u, 'must be a text without control characters')
    .refine((value) => Buffer.byteLength(value) <= MAX_NAME_BYTES, `must be at most ${MAX_NAME_BYTES} bytes`)
    .describe(meaning)
}

export const settings = z
  .strictObject({
    backend: z
      .literal('kmip')
      .describe(
        'A key on a KMIP server: OVHcloud KMS, PyKMIP and any other that speaks KMIP 1.2 to 1.4, or 2.x.',
      ),
    address: z
      .string()
      .refine((value) => parseAddress(value) !== undefined, 'must be host:port, such as kms.example.com:5696')
      .describe(
        `Where the server is, as \`host:port\`; the port is ${DEFAULT_PORT} where it is absent. Its certificate must have the name of the host.`,
      ),
    ...tlsSettings,
    clientCertFile: filePath(
      'PEM file with our client certificate and its chain, by which the server knows us. Read anew when it changes, together with the key.',
    ),
    clientKeyFile: filePath('PEM file with the private key of `clientCertFile`, mode 0600 or 0400.'),
    keyId: name('The Unique Identifier of the key. This or `keyLabel`.').optional(),
    keyLabel: name(
      'The Name of the key, exactly. One key that is Active must have it; when it is given to another one, that is a rotation.',
    ).optional(),
  })
  .superRefine(({ keyId, keyLabel }, context) => {
    if ((keyId === undefined) !== (keyLabel === undefined)) return
    const [path, message] =
      keyId === undefined
        ? (['keyId', 'is missing: name the key by keyId or by keyLabel'] as const)
        : (['keyLabel', 'names the key a second time; leave out keyId or keyLabel'] as const)
    context.addIssue({ code: 'custom', path: [path], message })
  })

export type KmipSettings = z.infer<typeof settings>

/** `undefined` for a text that is no address. */
export function parseAddress(text: string): Address | undefined {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([0-9]{1,5}))?$/.exec(text)
  if (found === null) return undefined
  const [, bracketed, bare, digits = String(DEFAULT_PORT)] = found
  const host = bracketed ?? bare ?? ''
  const isHost = bracketed === undefined ? isName(host) : isIP(host) === 6
  const port = Number(digits)
  return isHost && port >= 1 && port <= 65_535 ? { host, port } : undefined
}

/** A name of DNS, or an IPv4 address. */
function isName(host: string): boolean {
  return host.length <= 253 && /^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_-]+)*\.?$/.test(host)
}
