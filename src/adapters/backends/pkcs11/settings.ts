/** What can be configured for a key on a PKCS#11 token? */
import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'
import { mechanismNames, weaknessNames } from './shared/mechanisms.js'
import { placesOf } from './targets.js'
import { MAX_SLOT, parsePkcs11Uri } from './uri.js'

/** CK_TOKEN_INFO pads the label to so many bytes, and the serial number (PKCS#11 v2.40, section 3.2). */
const TOKEN_LABEL_MAX_BYTES = 32
const SERIAL_MAX_BYTES = 16

function text(maxBytes: number) {
  return z
    .string()
    .min(1, 'must not be empty')
    .refine((value) => Buffer.byteLength(value) <= maxBytes, `must be at most ${maxBytes} bytes`)
}

/** The description is that of the outermost schema. */
function optional<T extends z.ZodType>(schema: T) {
  return schema.optional().describe(schema.description ?? '')
}

const module = z
  .string()
  .regex(/^\//, 'must be an absolute path')
  .describe(
    "The vendor's PKCS#11 library, by its absolute path; owned by root or the user of the plugin, not writable by others. It is loaded in a process of its own.",
  )

const libraryParameters = z
  .string()
  .min(1, 'must not be empty')
  .describe("What the library wants to be initialised with, as NSS does: configdir='sql:/etc/kmsplugin/nss'.")

const tokenLabel = text(TOKEN_LABEL_MAX_BYTES).describe(
  'The label of the token (of the partition, on a Luna). Exactly one token must match all that is given.',
)

const tokenSerial = text(SERIAL_MAX_BYTES).describe(
  'The serial number of the token, as `pkcs11-tool -L` shows it.',
)

const slot = z
  .int()
  .min(0)
  .max(MAX_SLOT)
  .describe('The number of the slot. It may change when the library is set up anew: prefer label or serial.')

const pin = z
  .string({ error: onlyFile })
  .regex(/^file:\/./, { error: onlyFile })
  .describe(
    'The user PIN, as file:/absolute/path. The file is no symlink, has mode 0600 or 0400 and belongs to root or the user of the plugin; one newline at its end is ignored.',
  )

const uri = z
  .string()
  .superRefine((value, context) => {
    try {
      parsePkcs11Uri(value)
    } catch (error) {
      context.addIssue({
        code: 'custom',
        message: error instanceof Error ? error.message : 'is no pkcs11: URI',
      })
    }
  })
  .describe(
    'Token and key as an RFC 7512 URI, such as pkcs11:token=k8s;object=kek-1;id=%0f%3a; instead of tokenLabel, tokenSerial, slot, keyLabel and ckaId. It may name module-path and pin-source.',
  )

/** Where one token is found. */
const tokenFields = {
  module: optional(module),
  libraryParameters: optional(libraryParameters),
  tokenLabel: optional(tokenLabel),
  tokenSerial: optional(tokenSerial),
  slot: optional(slot),
  uri: optional(uri),
  pin: optional(pin),
}

const member = z
  .strictObject({
    ...tokenFields,
    weight: z
      .int()
      .min(1)
      .max(100)
      .optional()
      .describe(
        'From 1 to 100, 1 by default: the healthy token of the highest weight is asked first; those of one weight take turns.',
      ),
  })
  .superRefine(oneTokenForm)

export const settings = z
  .strictObject({
    backend: z
      .literal('pkcs11')
      .describe('A key on a PKCS#11 token: an HSM such as SafeNet Luna, or SoftHSM for tests.'),
    ...tokenFields,
    keyLabel: z
      .string()
      .min(1, 'must not be empty')
      .optional()
      .describe(
        'CKA_LABEL of the KEK, a 256-bit AES key or an RSA private key. Exactly one such key must match all that is given.',
      ),
    ckaId: z
      .string()
      .regex(/^(?:[0-9a-fA-F]{2}){1,128}$/, 'must be hexadecimal, two digits a byte')
      .optional()
      .describe('CKA_ID of the KEK in hexadecimal.'),
    mechanism: z
      .enum(['auto', ...mechanismNames])
      .optional()
      .describe(
        'How the KEK wraps: auto (the default) takes the first of the others, in this order, that passes a self-test on the token. It changes nothing in what can be unwrapped.',
      ),
    allowWeakKey: z
      .array(z.enum(weaknessNames))
      .max(weaknessNames.length)
      .optional()
      .describe(
        'Attributes in which the KEK may differ from what a KEK should be, such as [CKA_EXTRACTABLE]. `kmsplugin check` shows which do.',
      ),
    parallelCalls: z
      .int()
      .min(1)
      .max(64)
      .optional()
      .describe(
        'How many calls each token works on at once, 4 by default. More where many values are opened that need an unwrap each, on an HSM that is slow but does many at once. Each takes a session at the token and 10 MB of memory.',
      ),
    tokens: z
      .array(member)
      .min(1, 'must name at least one token')
      .max(8, 'must name at most 8 tokens')
      .optional()
      .describe(
        'Several tokens that hold the same KEK (equal CKA_ID and check value), each with what differs from the settings above: module, libraryParameters, tokenLabel, tokenSerial, slot, uri, pin, and a weight. What one leaves out is as above; a uri, here or above, names its token as a whole. One that fails is set aside and taken back.',
      ),
  })
  .superRefine(oneTokenForm)
  .superRefine((value, context) => {
    const own = value.uri === undefined ? undefined : parsed(value.uri)
    // Whatever it names would be called missing.
    if (value.uri !== undefined && own === undefined) return
    const issue = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message })
    if (value.keyLabel !== undefined || value.ckaId !== undefined) {
      if (own !== undefined) issue('uri', 'names the key; leave out keyLabel and ckaId')
    } else if (own !== undefined && own.key.label === undefined && own.key.ckaId === undefined) {
      issue('uri', 'names no key; add ;object=LABEL or ;id=%0f%3a, or set keyLabel or ckaId')
    } else if (own === undefined) {
      issue('keyLabel', 'is missing; name the KEK by keyLabel, ckaId or a uri with object or id')
    }
    const places = value.tokens ?? [value]
    for (const [at, place] of places.entries()) {
      const path = value.tokens === undefined ? [] : ['tokens', at]
      const named = place.uri === undefined ? undefined : parsed(place.uri)
      if (place.uri !== undefined && named === undefined) continue
      if (place !== value && named !== undefined && Object.keys(named.key).length > 0) {
        context.addIssue({
          code: 'custom',
          path: [...path, 'uri'],
          message: 'names a key; a token of the list names none',
        })
      }
      const missing = (setting: string, message: string): void =>
        context.addIssue({ code: 'custom', path: [...path, setting], message })
      if ((place.module ?? named?.module ?? value.module ?? own?.module) === undefined) {
        missing('module', 'is missing; it is the absolute path of the PKCS#11 library')
      }
      if ((place.pin ?? named?.pinPath ?? value.pin ?? own?.pinPath) === undefined) {
        missing('pin', 'is missing; it is file:/absolute/path')
      }
      if (!namesToken(place, named) && !namesToken(value, own)) {
        missing('tokenLabel', 'is missing; name the token by tokenLabel, tokenSerial, slot or uri')
      }
    }
  })
  .superRefine(noTokenTwice)

export type Pkcs11Settings = z.infer<typeof settings>

interface TokenForm {
  readonly module?: string | undefined
  readonly pin?: string | undefined
  readonly tokenLabel?: string | undefined
  readonly tokenSerial?: string | undefined
  readonly slot?: number | undefined
  readonly uri?: string | undefined
}

function oneTokenForm(value: TokenForm, context: z.RefinementCtx): void {
  if (value.uri === undefined) return
  const issue = (message: string): void => context.addIssue({ code: 'custom', path: ['uri'], message })
  if (value.tokenLabel !== undefined || value.tokenSerial !== undefined || value.slot !== undefined) {
    issue('names the token; leave out tokenLabel, tokenSerial and slot')
  }
  const named = parsed(value.uri)
  if (value.module !== undefined && named?.module !== undefined) {
    issue('names the module; leave out module, or module-path')
  }
  if (value.pin !== undefined && named?.pinPath !== undefined) {
    issue('names the PIN file; leave out pin, or pin-source')
  }
}

/** Two that match one token by different words are found by `check` alone. */
function noTokenTwice(value: Pkcs11Settings, context: z.RefinementCtx): void {
  const { tokens } = value
  const isReadable = ({ uri }: TokenForm): boolean => uri === undefined || parsed(uri) !== undefined
  if (tokens === undefined || ![value, ...tokens].every(isReadable)) return
  const whereOf = placesOf(value).map(({ module, libraryParameters, token }) => ({
    module,
    libraryParameters,
    token,
  }))
  for (const [at, where] of whereOf.entries()) {
    const first = whereOf.findIndex((other) => isDeepStrictEqual(other, where))
    if (first === at) continue
    const message = `names the same token as tokens.${first}`
    context.addIssue({ code: 'custom', path: ['tokens', at], message })
  }
}

function namesToken(value: TokenForm, named: ReturnType<typeof parsed>): boolean {
  if (value.tokenLabel !== undefined || value.tokenSerial !== undefined || value.slot !== undefined)
    return true
  return named !== undefined && Object.keys(named.token).length > 0
}

/** `undefined` for a text that is no URI of ours: that is said elsewhere. */
function parsed(uri: string) {
  try {
    return parsePkcs11Uri(uri)
  } catch {
    return undefined
  }
}

/** Never quotes its input: it may be a PIN. */
function onlyFile({ input }: { readonly input?: unknown }): string {
  if (typeof input === 'string' && input.startsWith('env:')) {
    return 'must be file:/absolute/path; a PIN is not taken from the environment, where it can be read in /proc'
  }
  return 'must be file:/absolute/path; a PIN never stands in this file'
}
