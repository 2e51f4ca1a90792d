/** The operations of KMS that the fake has: who may, which key, which answer. */
import type { Identity } from './identities.js'
import { AwsError, keyIdInBlob, type Context, type FakeKey } from './kms.js'
import { isAllowed } from './policy.js'

export interface Caller {
  readonly identity: Identity
  readonly region: string
  /** Condition keys that come from the request's headers. */
  readonly conditions: Readonly<Record<string, string>>
}

export interface KeyStore {
  readonly keys: readonly FakeKey[]
  /** ARN of an alias to the ARN of its key. */
  readonly aliases: ReadonlyMap<string, string>
}

type Input = Readonly<Record<string, unknown>>

const PLAINTEXT_MAX_BYTES = 4096
const BLOB_MAX_BYTES = 6144

export function answerKms(operation: string, input: Input, caller: Caller, store: KeyStore): object {
  const context = contextIn(input)
  switch (operation) {
    case 'DescribeKey':
      return { KeyMetadata: keyFor(textIn(input, 'KeyId'), 'kms:DescribeKey', caller, store).metadata() }
    case 'GetKeyRotationStatus': {
      const key = keyFor(textIn(input, 'KeyId'), 'kms:GetKeyRotationStatus', caller, store)
      return { KeyRotationEnabled: key.rotationEnabled, KeyId: key.arn }
    }
    case 'Encrypt': {
      const plaintext = bytesIn(input, 'Plaintext', PLAINTEXT_MAX_BYTES)
      const key = keyFor(textIn(input, 'KeyId'), 'kms:Encrypt', caller, store, context)
      key.assertWorks()
      const blob = key.encrypt(plaintext, context)
      return {
        CiphertextBlob: blob.toString('base64'),
        KeyId: key.arn,
        EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
      }
    }
    case 'Decrypt': {
      const blob = bytesIn(input, 'CiphertextBlob', BLOB_MAX_BYTES)
      const key = keyOfBlob(blob, input, caller, store, context)
      key.assertWorks()
      const { plaintext, materialId } = key.decrypt(blob, context)
      return {
        KeyId: key.arn,
        Plaintext: plaintext.toString('base64'),
        EncryptionAlgorithm: 'SYMMETRIC_DEFAULT',
        ...(materialId === undefined ? {} : { KeyMaterialId: materialId }),
      }
    }
    default:
      throw new AwsError('UnknownOperationException', '')
  }
}

/** Without a KeyId, AWS takes the key that the blob names; with one, both must be the same. */
function keyOfBlob(blob: Buffer, input: Input, caller: Caller, store: KeyStore, context: Context): FakeKey {
  const named =
    input['KeyId'] === undefined
      ? undefined
      : keyFor(textIn(input, 'KeyId'), 'kms:Decrypt', caller, store, context)
  named?.assertWorks()
  const id = keyIdInBlob(blob)
  const made = store.keys.find((key) => key.id === id && key.region === caller.region)
  const isMine = made !== undefined && mayUse(made, 'kms:Decrypt', caller, context)
  if (made === undefined || (named === undefined && !isMine)) {
    throw new AwsError(
      'AccessDeniedException',
      'The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.',
    )
  }
  if (named !== undefined && named !== made) {
    throw new AwsError(
      'IncorrectKeyException',
      'The key ID in the request does not identify a CMK that can perform this operation.',
    )
  }
  return made
}

function keyFor(
  reference: string,
  action: string,
  caller: Caller,
  { keys, aliases }: KeyStore,
  context: Context = {},
): FakeKey {
  const { region, identity } = caller
  const prefix = `arn:aws:kms:${region}:${identity.account}`
  const isArn = reference.startsWith('arn:')
  const arn = isArn
    ? reference
    : `${prefix}:${reference.startsWith('alias/') ? reference : `key/${reference}`}`
  if (isArn && arn.split(':')[3] !== region) throw new AwsError('NotFoundException', `Invalid arn ${region}`)
  const isAlias = arn.includes(':alias/')
  const target = isAlias ? aliases.get(arn) : arn
  const key = keys.find((one) => one.arn === target)
  if (key === undefined) {
    const message = isAlias ? `Alias ${arn} is not found.` : `Key '${arn}' does not exist`
    throw new AwsError('NotFoundException', message)
  }
  if (!mayUse(key, action, caller, context)) {
    throw new AwsError(
      'AccessDeniedException',
      `User: ${identity.arn} is not authorized to perform: ${action} on resource: ${key.arn} because no identity-based policy allows the ${action} action`,
    )
  }
  return key
}

function mayUse(key: FakeKey, action: string, { identity, conditions }: Caller, context: Context): boolean {
  const own = Object.entries(context).map(([name, value]) => [`kms:EncryptionContext:${name}`, value])
  const all = { ...conditions, ...(Object.fromEntries(own) as Context) }
  const { arn: principal, account, policies } = identity
  return isAllowed(
    { principal, account, action, resource: key.arn, context: all },
    policies,
    key.policy,
    key.account,
  )
}

function textIn(input: Input, name: string): string {
  const value = input[name]
  if (typeof value === 'string' && value !== '' && value.length <= 2048) return value
  throw invalid(name, 'must be a name of a key')
}

function bytesIn(input: Input, name: string, maxBytes: number): Buffer {
  const value = input[name]
  const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : Buffer.alloc(0)
  if (bytes.length >= 1 && bytes.length <= maxBytes) return bytes
  throw invalid(name, `Member must have length between 1 and ${maxBytes}`)
}

function contextIn(input: Input): Context {
  const context = input['EncryptionContext'] ?? {}
  if (typeof context === 'object' && Object.values(context).every((value) => typeof value === 'string')) {
    return context as Context
  }
  throw invalid('EncryptionContext', 'must be a map of texts')
}

function invalid(name: string, what: string): AwsError {
  return new AwsError(
    'ValidationException',
    `1 validation error detected: Value at '${name}' failed to satisfy constraint: ${what}`,
  )
}
