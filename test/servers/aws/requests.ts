/** The table of requests that is put to LocalStack and to the fake, and where they may differ. */
import type { Laboratory } from './laboratory.js'

const PLAINTEXT = Buffer.from('0123456789abcdef0123456789abcdef')
const CONTEXT = { cluster: 'a' }

async function blobOf({ kms }: Laboratory, arn: string): Promise<Uint8Array> {
  const { CiphertextBlob } = await kms.encrypt({
    KeyId: arn,
    Plaintext: PLAINTEXT,
    EncryptionContext: CONTEXT,
  })
  return CiphertextBlob ?? new Uint8Array()
}

function flipped(blob: Uint8Array, at: number): Uint8Array {
  const bytes = Buffer.from(blob)
  const index = at < 0 ? bytes.length + at : at
  bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index)
  return bytes
}

/** Each answers something that both servers can say: an error's name is taken where it throws. */
export const requests: Readonly<Record<string, (lab: Laboratory) => Promise<unknown>>> = {
  'Encrypt and Decrypt give the bytes back': async (lab) => {
    const arn = await lab.makeKey()
    const blob = await blobOf(lab, arn)
    const answer = await lab.kms.decrypt({ KeyId: arn, CiphertextBlob: blob, EncryptionContext: CONTEXT })
    return [
      Buffer.from(answer.Plaintext ?? []).equals(PLAINTEXT),
      answer.KeyId === arn,
      answer.EncryptionAlgorithm,
    ]
  },
  'Encrypt by an alias answers the ARN of the key': async (lab) => {
    const arn = await lab.makeKey()
    await lab.setAlias('alias/one', arn)
    const { KeyId } = await lab.kms.encrypt({ KeyId: 'alias/one', Plaintext: PLAINTEXT })
    return KeyId === arn
  },
  'DescribeKey of a symmetric key': async (lab) => {
    const arn = await lab.makeKey()
    const { KeyMetadata: key } = await lab.kms.describeKey({ KeyId: arn })
    return [
      key?.Arn === arn,
      key?.KeyState,
      key?.Enabled,
      key?.KeyUsage,
      key?.KeySpec,
      key?.Origin,
      key?.MultiRegion,
    ]
  },
  'DescribeKey tells an id of the key material, of 64 hexadecimal digits': async (lab) => {
    const { KeyMetadata } = await lab.kms.describeKey({ KeyId: await lab.makeKey() })
    return /^[0-9a-f]{64}$/.test(KeyMetadata?.CurrentKeyMaterialId ?? '')
  },
  'Decrypt tells the id of the key material': async (lab) => {
    const arn = await lab.makeKey()
    const blob = await blobOf(lab, arn)
    const answer = await lab.kms.decrypt({ CiphertextBlob: blob, EncryptionContext: CONTEXT })
    return answer.KeyMaterialId !== undefined
  },
  'rotation changes the material, and old blobs open': async (lab) => {
    const arn = await lab.makeKey()
    const blob = await blobOf(lab, arn)
    const before = await lab.kms.describeKey({ KeyId: arn })
    await lab.rotate(arn)
    const after = await lab.kms.describeKey({ KeyId: arn })
    const answer = await lab.kms.decrypt({ KeyId: arn, CiphertextBlob: blob, EncryptionContext: CONTEXT })
    const ids = [before, after].map(({ KeyMetadata }) => KeyMetadata?.CurrentKeyMaterialId)
    return [ids[0] !== ids[1], Buffer.from(answer.Plaintext ?? []).equals(PLAINTEXT)]
  },
  'an alias that is moved means another key': async (lab) => {
    const [first, second] = [await lab.makeKey(), await lab.makeKey()]
    await lab.setAlias('alias/moved', first)
    await lab.setAlias('alias/moved', second)
    return (await lab.kms.describeKey({ KeyId: 'alias/moved' })).KeyMetadata?.Arn === second
  },
  'Decrypt with another context': async (lab) => {
    const arn = await lab.makeKey()
    const CiphertextBlob = await blobOf(lab, arn)
    return lab.kms.decrypt({ KeyId: arn, CiphertextBlob, EncryptionContext: { cluster: 'b' } })
  },
  'Decrypt without the context': async (lab) => {
    const arn = await lab.makeKey()
    return lab.kms.decrypt({ KeyId: arn, CiphertextBlob: await blobOf(lab, arn) })
  },
  'Decrypt under another key than the blob names': async (lab) => {
    const [one, other] = [await lab.makeKey(), await lab.makeKey()]
    const CiphertextBlob = await blobOf(lab, one)
    return lab.kms.decrypt({ KeyId: other, CiphertextBlob, EncryptionContext: CONTEXT })
  },
  'Decrypt of a blob with its last byte changed': async (lab) => {
    const arn = await lab.makeKey()
    const CiphertextBlob = flipped(await blobOf(lab, arn), -1)
    return lab.kms.decrypt({ KeyId: arn, CiphertextBlob, EncryptionContext: CONTEXT })
  },
  'Decrypt of bytes that are no blob': async (lab) =>
    lab.kms.decrypt({ KeyId: await lab.makeKey(), CiphertextBlob: Buffer.from('no blob') }),
  'Decrypt of a blob under a key that does not exist, without naming a key': async (lab) => {
    const arn = await lab.makeKey()
    const CiphertextBlob = flipped(await blobOf(lab, arn), 10)
    return lab.kms.decrypt({ CiphertextBlob, EncryptionContext: CONTEXT })
  },
  'Encrypt of 4,096 bytes': async (lab) => {
    const answer = await lab.kms.encrypt({ KeyId: await lab.makeKey(), Plaintext: Buffer.alloc(4096) })
    return answer.CiphertextBlob !== undefined
  },
  'Encrypt of 4,097 bytes': async (lab) =>
    lab.kms.encrypt({ KeyId: await lab.makeKey(), Plaintext: Buffer.alloc(4097) }),
  'Encrypt with a disabled key': async (lab) => {
    const arn = await lab.makeKey()
    await lab.disable(arn)
    return lab.kms.encrypt({ KeyId: arn, Plaintext: PLAINTEXT })
  },
  'Decrypt with a disabled key': async (lab) => {
    const arn = await lab.makeKey()
    const CiphertextBlob = await blobOf(lab, arn)
    await lab.disable(arn)
    return lab.kms.decrypt({ KeyId: arn, CiphertextBlob, EncryptionContext: CONTEXT })
  },
  'DescribeKey of a disabled key': async (lab) => {
    const arn = await lab.makeKey()
    await lab.disable(arn)
    const { KeyMetadata: key } = await lab.kms.describeKey({ KeyId: arn })
    return [key?.KeyState, key?.Enabled]
  },
  'Decrypt with a key that is to be deleted': async (lab) => {
    const arn = await lab.makeKey()
    const CiphertextBlob = await blobOf(lab, arn)
    await lab.scheduleDeletion(arn)
    return lab.kms.decrypt({ KeyId: arn, CiphertextBlob, EncryptionContext: CONTEXT })
  },
  'DescribeKey of a key that is to be deleted': async (lab) => {
    const arn = await lab.makeKey()
    await lab.scheduleDeletion(arn)
    const { KeyMetadata: key } = await lab.kms.describeKey({ KeyId: arn })
    return [key?.KeyState, key?.Enabled, key?.DeletionDate !== undefined]
  },
  'Encrypt with a key without material': async (lab) =>
    lab.kms.encrypt({ KeyId: await lab.makeWithoutMaterial(), Plaintext: PLAINTEXT }),
  'DescribeKey of a key without material': async (lab) => {
    const { KeyMetadata: key } = await lab.kms.describeKey({ KeyId: await lab.makeWithoutMaterial() })
    return [key?.KeyState, key?.Enabled, key?.Origin]
  },
  'Encrypt with a key for MACs': async (lab) => {
    const arn = await lab.makeKey({ usage: 'GENERATE_VERIFY_MAC', spec: 'HMAC_256' })
    return lab.kms.encrypt({ KeyId: arn, Plaintext: PLAINTEXT })
  },
  'DescribeKey of a key that does not exist': async (lab) =>
    lab.kms.describeKey({ KeyId: '1234abcd-12ab-34cd-56ef-1234567890ab' }),
  'DescribeKey of an alias that does not exist': async (lab) => lab.kms.describeKey({ KeyId: 'alias/none' }),
  'GetKeyRotationStatus of a new key': async (lab) => {
    const { KeyRotationEnabled } = await lab.kms.getKeyRotationStatus({ KeyId: await lab.makeKey() })
    return KeyRotationEnabled
  },
}

interface Deviation {
  readonly fake: string
  readonly localStack: string
  readonly why: string
}

/**
 * Where the two differ. In each, the fake is as AWS documents itself. Beyond the table LocalStack looks at no
 * signature, no clock and no policy, so those of the fake are proved with the SDK and botocore alone.
 */
export const deviations: Readonly<Record<string, Deviation>> = {
  'Encrypt and Decrypt give the bytes back': {
    fake: '[true,true,"SYMMETRIC_DEFAULT"]',
    localStack: '[true,true,null]',
    why: 'AWS answers EncryptionAlgorithm to Decrypt',
  },
  'Decrypt tells the id of the key material': {
    fake: 'true',
    localStack: 'false',
    why: 'AWS answers KeyMaterialId to Decrypt with a symmetric key',
  },
  'Decrypt of a blob under a key that does not exist, without naming a key': {
    fake: 'AccessDeniedException',
    localStack: 'NotFoundException',
    why: 'AWS does not tell strangers which keys there are',
  },
}

export async function outcomeOf(
  request: (lab: Laboratory) => Promise<unknown>,
  lab: Laboratory,
): Promise<string> {
  try {
    return JSON.stringify(await request(lab))
  } catch (error) {
    return error instanceof Error ? error.name : 'no error'
  }
}
