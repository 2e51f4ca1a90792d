/** What can be configured for a key on a PKCS#11 token? */
import { z } from 'zod'

/** CK_TOKEN_INFO pads the label to this many bytes (PKCS#11 v2.40, section 3.2). */
const TOKEN_LABEL_MAX_BYTES = 32

export const settings = z.strictObject({
  backend: z
    .literal('pkcs11')
    .describe('A key on a PKCS#11 token: an HSM such as SafeNet Luna, or SoftHSM for tests.'),
  module: z
    .string()
    .regex(/^\//, 'must be an absolute path')
    .describe(
      "The vendor's PKCS#11 library, by its absolute path; owned by root or the user of the plugin, not writable by others. It is loaded in a process of its own.",
    ),
  tokenLabel: z
    .string()
    .min(1, 'must not be empty')
    .refine((text) => Buffer.byteLength(text) <= TOKEN_LABEL_MAX_BYTES, 'must be at most 32 bytes')
    .describe('The label of the token (of the partition, on a Luna). Exactly one token must have it.'),
  pin: z
    .string({ error: onlyFile })
    .regex(/^file:\/./, { error: onlyFile })
    .describe(
      'The user PIN, as file:/absolute/path. The file is no symlink, has mode 0600 or 0400 and belongs to root or the user of the plugin; one newline at its end is ignored.',
    ),
  keyLabel: z
    .string()
    .min(1, 'must not be empty')
    .describe('CKA_LABEL of the KEK, a 256-bit AES key. Exactly one secret key on the token must have it.'),
})

export type Pkcs11Settings = z.infer<typeof settings>

/** The absolute path that a valid `pin` reference names. */
export function pinPathOf({ pin }: Pkcs11Settings): string {
  return pin.slice('file:'.length)
}

/** Never quotes its input: it may be a PIN. */
function onlyFile({ input }: { readonly input?: unknown }): string {
  if (typeof input === 'string' && input.startsWith('env:')) {
    return 'must be file:/absolute/path; a PIN is not taken from the environment, where it can be read in /proc'
  }
  return 'must be file:/absolute/path; a PIN never stands in this file'
}
