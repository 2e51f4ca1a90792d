import * as z from 'zod'
import { serviceUrl, tlsSettings } from '../remote/settings.js'
import { keyNameMistake } from './key_name.js'

export const DEFAULT_ENDPOINT = 'https://cloudkms.googleapis.com'

/** A file and nothing else: what stands in it has many lines, and is read anew when it changes. */
const CREDENTIALS = /^file:\/[^\p{Cc}]*[^/\p{Cc}]$/u
const FILE_FORM = 'must be file:/absolute/path of a JSON file with the credentials'

export const settings = z.strictObject({
  backend: z.literal('gcp').describe('A symmetric key in Google Cloud KMS: software, HSM or external.'),
  keyName: z
    .string()
    .superRefine((value, context) => {
      const message = keyNameMistake(value)
      if (message !== undefined) context.addIssue({ code: 'custom', message })
    })
    .describe(
      'Resource name of the key: `projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY`, with the id of the project, as `gcloud kms keys list` prints it. Without a version: its primary version wraps, all of them unwrap.',
    ),
  endpoint: serviceUrl(
    `Address of Cloud KMS, such as that of a Private Service Connect endpoint. Default: ${DEFAULT_ENDPOINT}.`,
  ).optional(),
  credentials: z
    .string({ error: ({ input }) => (input === undefined ? 'is missing' : FILE_FORM) })
    .regex(CREDENTIALS, { error: FILE_FORM })
    .optional()
    .describe(
      'JSON file of a service account, of workload identity federation or of an impersonation, as `file:/absolute/path` (mode 0600 where it holds a secret; read anew when it changes). Default: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, that of `gcloud auth application-default login`, the metadata server of the machine.',
    ),
  additionalAuthenticatedData: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .describe(
      'Text that DEKs are bound to beside the name of the key, such as the name of the cluster. What was sealed with one text opens with no other, so an entry with another text is another KEK.',
    ),
  ...tlsSettings,
})

export type GcpSettings = z.infer<typeof settings>
