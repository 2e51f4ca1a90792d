/** What can be configured for a service key in OVHcloud KMS? */
import * as z from 'zod'
import { filePath, serviceUrl, tlsSettings } from '../remote/settings.js'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** OVHcloud allows no longer text. */
const CONTEXT_MAX_CHARACTERS = 64
const NAME_MAX_CHARACTERS = 32

const URL_MEANING =
  'The REST endpoint of the region, such as https://eu-west-rbx.okms.ovh.net, without `/api`. Always https.'

/** The id of a service key in small letters; `undefined` for a text that is none. */
export function asKeyId(text: string): string | undefined {
  return UUID.test(text) ? text.toLowerCase() : undefined
}

function uuid(what: string, meaning: string) {
  return z
    .string()
    .regex(UUID, `must be the UUID of ${what}`)
    .transform((text) => text.toLowerCase())
    .describe(meaning)
}

export const settings = z
  .strictObject({
    backend: z
      .literal('okms')
      .describe('A service key in OVHcloud KMS, by its REST API; see docs/okms.md. For KMIP see `kmip`.'),
    url: serviceUrl(URL_MEANING)
      .refine((text) => text.startsWith('https:'), 'must begin with https://: the client certificate logs in')
      .describe(URL_MEANING),
    okmsId: uuid('an OKMS domain', 'The id of the OKMS domain that has the key.'),
    keyId: uuid('a service key', 'The id of the service key. Either this or `keyLabel`.').optional(),
    keyLabel: z
      .string()
      .min(1, 'must not be empty')
      .max(NAME_MAX_CHARACTERS, `at most ${NAME_MAX_CHARACTERS} characters`)
      .regex(/^\P{Cc}*$/u, 'must have no control characters')
      .optional()
      .describe(
        'The name of the service key, in exactly these letters; exactly one active key of the domain must have it. It may be moved to another key, and values of the former key then need an entry with its `keyId`.',
      ),
    context: z
      .string()
      .min(1, 'must not be empty')
      .max(CONTEXT_MAX_CHARACTERS, `at most ${CONTEXT_MAX_CHARACTERS} characters`)
      .optional()
      .describe(
        'A text that the service binds into what it encrypts. Not secret. It is part of the identity of the key: to change it, add a second entry under `keys`.',
      ),
    clientCertFile: filePath(
      'PEM file with the access certificate of the domain. Read anew when it changes, together with the key.',
    ),
    clientKeyFile: filePath('PEM file with the private key of `clientCertFile`, mode 0600 or 0400.'),
    ...tlsSettings,
  })
  .superRefine(({ keyId, keyLabel }, context) => {
    if ((keyId === undefined) !== (keyLabel === undefined)) return
    const message =
      keyId === undefined
        ? 'is missing; name the key by keyId or by keyLabel'
        : 'cannot stand beside keyLabel'
    context.addIssue({ code: 'custom', path: ['keyId'], message })
  })

export type OkmsSettings = z.infer<typeof settings>
