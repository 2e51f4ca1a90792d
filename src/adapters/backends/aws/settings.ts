/** What can be configured for a key in AWS KMS? */
import * as z from 'zod'
import { serviceUrl, tlsSettings } from '../remote/settings.js'
import { ARN, isKeyReference, regionOf } from './key_reference.js'

/** AWS bounds a whole request; more than this is no name of a cluster but a mistake. */
const CONTEXT_MAX_BYTES = 8192

const REGION = /^[a-z]{2}(?:-[a-z0-9]+)+-[0-9]+$/

export const settings = z
  .strictObject({
    backend: z.literal('aws').describe('A symmetric key in AWS KMS.'),
    keyId: z
      .string()
      .refine(
        isKeyReference,
        'must be a key id, a key ARN, alias/NAME or the ARN of an alias, as the console of AWS KMS shows them',
      )
      .describe(
        'The KEK: its ARN (best; also of another account), key id, `alias/NAME` or the ARN of an alias. An alias is looked up; what it names at the time is the KEK.',
      ),
    region: z
      .string()
      .regex(REGION, 'must be the name of a region, such as eu-west-1')
      .optional()
      .describe(
        'The region of the key. By default that of the ARN, else AWS_REGION, AWS_DEFAULT_REGION, the region of the profile, or the region of the instance.',
      ),
    endpoint: serviceUrl(
      'Where KMS answers, such as a VPC endpoint: `https://vpce-….kms.eu-west-1.vpce.amazonaws.com`. By default the public endpoint of the region.',
    ).optional(),
    encryptionContext: z
      .record(z.string().min(1, 'must not be empty'), z.string())
      .refine(isSmall, `must be at most ${CONTEXT_MAX_BYTES} bytes together`)
      .refine(hasNoReservedName, 'must not have a name that begins with aws:, which AWS keeps for itself')
      .optional()
      .describe(
        'Names and values that AWS binds to each wrapped DEK and writes into CloudTrail, in the clear. What was wrapped with it opens only with the same, so it is part of the identity of the key: to change it, add a second entry under `keys`.',
      ),
    sourceArn: z
      .string()
      .regex(ARN, 'must be an ARN with an account, such as that of the cluster')
      .optional()
      .describe(
        'For whom the plugin acts, such as the ARN of the cluster; sent as x-amz-source-arn and x-amz-source-account, for policies with aws:SourceArn and aws:SourceAccount.',
      ),
    profile: z
      .string()
      .regex(/^[^\p{Cc}[\]]{1,128}$/u, 'must be the name of a profile')
      .optional()
      .describe(
        'The profile in the shared files of AWS to take credentials from; the keys in the environment are not looked at then. By default AWS_PROFILE.',
      ),
    ...tlsSettings,
  })
  .superRefine(({ keyId, region }, context) => {
    const ofKey = regionOf(keyId)
    if (region === undefined || !REGION.test(region) || ofKey === undefined || region === ofKey) return
    context.addIssue({ code: 'custom', path: ['region'], message: `is not that of keyId, which is ${ofKey}` })
  })

export type AwsSettings = z.infer<typeof settings>

function isSmall(context: Readonly<Record<string, string>>): boolean {
  const parts = Object.entries(context).flat()
  return parts.reduce((sum, part) => sum + Buffer.byteLength(part), 0) <= CONTEXT_MAX_BYTES
}

function hasNoReservedName(context: Readonly<Record<string, string>>): boolean {
  return Object.keys(context).every((name) => !name.toLowerCase().startsWith('aws:'))
}
