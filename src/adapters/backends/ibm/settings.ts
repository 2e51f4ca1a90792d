/** What can be configured for a root key in IBM Key Protect or Hyper Protect Crypto Services? */
import * as z from 'zod'
import { filePath, serviceUrl, tlsSettings } from '../remote/settings.js'

const API_KEY_REFERENCE = /^(file:\/.+|env:[A-Za-z_][A-Za-z0-9_]*|ibm-config:\/.+)$/s

/** IBM allows no longer text. */
const AAD_TEXT_MAX = 255

export const DEFAULT_TOKEN_URL = 'https://iam.cloud.ibm.com/identity/token'

export const settings = z.strictObject({
  backend: z
    .literal('ibm')
    .describe('A root key in IBM Key Protect or in Hyper Protect Crypto Services; see docs/ibm.md.'),
  url: serviceUrl(
    'The API endpoint of the service, without `/api/v2`: `https://eu-de.kms.cloud.ibm.com`, `https://private.eu-de.kms.cloud.ibm.com`, or that of a Hyper Protect Crypto Services instance.',
  ),
  instanceId: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,128}$/, 'must be the GUID of the service instance, not its name or CRN')
    .describe('The GUID of the service instance that has the key.'),
  keyId: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,128}$/, 'must be the id or an alias of a root key, not its name or CRN')
    .describe(
      'The id of the root key. An alias works as well, until somebody moves it to another key; the id is the better choice.',
    ),
  keyRing: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,128}$/, 'must be the id of a key ring')
    .optional()
    .describe('The id of the key ring that has the key; without it the service looks into every ring.'),
  aad: z
    .array(z.string().min(1).max(AAD_TEXT_MAX, `at most ${AAD_TEXT_MAX} characters each`))
    .min(1)
    .max(16)
    .optional()
    .describe(
      'Texts that the service binds into what it wraps. They are part of the identity of the key: to change them, add a second entry under `keys`.',
    ),
  apiKey: z
    .string({ error: notAReference })
    .regex(API_KEY_REFERENCE, { error: notAReference })
    .describe(
      'The API key of a service id. As `file:/absolute/path` (mode 0600 or 0400), `env:NAME`, or `ibm-config:/absolute/path`: `SERVER_CONFIG.API_KEY` of the config file of IBM’s plug-in, mode 0600. Read anew whenever a token is fetched.',
    ),
  tokenUrl: serviceUrl('Where IAM gives tokens for API keys.').default(DEFAULT_TOKEN_URL),
  ...tlsSettings,
  tokenCaFile: filePath(
    'PEM file with the certificates of the authorities to trust for `tokenUrl`, instead of those of the system; `caFile` is not used there. Read anew when it changes.',
  ).optional(),
})

export type IbmSettings = z.infer<typeof settings>

function notAReference(issue: { readonly input?: unknown }): string {
  if (issue.input === undefined) return 'is missing'
  return 'must be file:/absolute/path, env:NAME or ibm-config:/absolute/path'
}
