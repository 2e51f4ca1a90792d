/** Keys in any state on either server, so that one table of requests can be put to both. */
import { KMS } from '@aws-sdk/client-kms'
import type { FakeAws } from '../../support/fakes/aws.js'
import type { LocalStack } from './localstack.js'

export interface Laboratory {
  readonly kms: KMS
  makeKey(kind?: { readonly usage?: 'GENERATE_VERIFY_MAC'; readonly spec?: 'HMAC_256' }): Promise<string>
  disable(arn: string): Promise<void>
  scheduleDeletion(arn: string): Promise<void>
  /** New key material. */
  rotate(arn: string): Promise<void>
  /** Makes, or moves, an alias. */
  setAlias(name: string, arn: string): Promise<void>
  makeWithoutMaterial(): Promise<string>
}

const REGION = 'eu-west-1'

export function laboratoryOf(localStack: LocalStack): Laboratory {
  // Its account is that of the access key where that is a number of twelve digits.
  const credentials = { accessKeyId: '111122223333', secretAccessKey: 'any' }
  const kms = new KMS({ endpoint: localStack.url, region: REGION, credentials, maxAttempts: 1 })
  const make = async (input: Parameters<KMS['createKey']>[0]): Promise<string> => {
    const { KeyMetadata } = await kms.createKey(input)
    return KeyMetadata?.Arn ?? ''
  }
  return {
    kms,
    makeKey: async ({ usage, spec } = {}) =>
      make({ KeyUsage: usage ?? 'ENCRYPT_DECRYPT', KeySpec: spec ?? 'SYMMETRIC_DEFAULT' }),
    makeWithoutMaterial: async () => make({ Origin: 'EXTERNAL' }),
    disable: async (arn) => {
      await kms.disableKey({ KeyId: arn })
    },
    scheduleDeletion: async (arn) => {
      await kms.scheduleKeyDeletion({ KeyId: arn })
    },
    rotate: async (arn) => {
      await kms.rotateKeyOnDemand({ KeyId: arn })
    },
    setAlias: async (AliasName, arn) => {
      // By its id: an ARN in UpdateAlias is not found afterwards.
      const input = { AliasName, TargetKeyId: arn.split('/').at(-1) }
      const isThere = await kms.describeKey({ KeyId: AliasName }).then(
        () => true,
        () => false,
      )
      await (isThere ? kms.updateAlias(input) : kms.createAlias(input))
    },
  }
}

export function laboratoryOfFake(aws: FakeAws): Laboratory {
  const credentials = aws.addIdentity()
  const kms = new KMS({ endpoint: aws.server.url, region: REGION, credentials, maxAttempts: 1 })
  const keyAt = (arn: string) => aws.keys.find((key) => key.arn === arn)!
  return {
    kms,
    makeKey: async ({ usage, spec } = {}) =>
      aws.addKey({ ...(usage === undefined ? {} : { usage }), ...(spec === undefined ? {} : { spec }) }).arn,
    makeWithoutMaterial: async () => {
      const key = aws.addKey({ origin: 'EXTERNAL' })
      key.state = 'PendingImport'
      return key.arn
    },
    disable: async (arn) => void (keyAt(arn).state = 'Disabled'),
    scheduleDeletion: async (arn) => void (keyAt(arn).state = 'PendingDeletion'),
    rotate: async (arn) => keyAt(arn).rotate(),
    setAlias: async (name, arn) => aws.setAlias(name, keyAt(arn)),
  }
}
