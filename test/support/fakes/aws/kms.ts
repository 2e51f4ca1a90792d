/** The keys of the fake and what KMS does with them: AES-256-GCM, with the encryption context as AAD. */
import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto'
import type { PolicyDocument } from './policy.js'

export type FakeKeyState =
  | 'Creating'
  | 'Enabled'
  | 'Disabled'
  | 'PendingDeletion'
  | 'PendingImport'
  | 'PendingReplicaDeletion'
  | 'Unavailable'
  | 'Updating'

export interface KeyWish {
  readonly account?: string
  readonly region?: string
  readonly spec?: string
  readonly usage?: string
  readonly origin?: string
  readonly multiRegion?: boolean
  readonly policy?: PolicyDocument
  /** A key that was there before: its id, and its key material in hexadecimal digits. */
  readonly id?: string
  readonly material?: { readonly id: string; readonly secret: string }
}

/** An error of the service, by the name that it has on the wire. */
export class AwsError extends Error {
  readonly status: number

  constructor(name: string, message: string, status = 400) {
    super(message)
    this.name = name
    this.status = status
  }
}

export type Context = Readonly<Record<string, string>>

/** Blobs of AWS begin so. */
const MAGIC = Buffer.from('0102020078', 'hex')
const ID_BYTES = 36
const MATERIAL_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = MAGIC.length + ID_BYTES + MATERIAL_BYTES

export class FakeKey {
  readonly account: string
  readonly region: string
  readonly id: string
  readonly spec: string
  readonly usage: string
  readonly origin: string
  readonly multiRegion: boolean
  policy: PolicyDocument
  state: FakeKeyState = 'Enabled'
  /** Off: as services without ids of key material. */
  tellsMaterial = true
  /** Off: Decrypt does not tell it, as LocalStack. */
  decryptTellsMaterial = true
  rotationEnabled = false
  readonly #materials = new Map<string, Buffer>()
  #current = ''

  constructor(wish: KeyWish) {
    this.account = wish.account ?? '111122223333'
    this.region = wish.region ?? 'eu-west-1'
    this.multiRegion = wish.multiRegion ?? false
    this.id = wish.id ?? (this.multiRegion ? `mrk-${randomBytes(16).toString('hex')}` : randomUUID())
    this.spec = wish.spec ?? 'SYMMETRIC_DEFAULT'
    this.usage = wish.usage ?? 'ENCRYPT_DECRYPT'
    this.origin = wish.origin ?? 'AWS_KMS'
    this.policy = wish.policy ?? iamPolicy(this.account)
    this.rotate(wish.material)
  }

  get arn(): string {
    return `arn:aws:kms:${this.region}:${this.account}:key/${this.id}`
  }

  get materialId(): string {
    return this.#current
  }

  /** New material wraps from now on; blobs of the old open for ever. */
  rotate(material?: KeyWish['material']): void {
    this.#current = material?.id ?? randomBytes(MATERIAL_BYTES).toString('hex')
    this.#materials.set(
      this.#current,
      material === undefined ? randomBytes(32) : Buffer.from(material.secret, 'hex'),
    )
  }

  metadata(): object {
    return {
      AWSAccountId: this.account,
      KeyId: this.id,
      Arn: this.arn,
      CreationDate: 1_700_000_000,
      Enabled: this.state === 'Enabled',
      Description: '',
      KeyUsage: this.usage,
      KeyState: this.state,
      Origin: this.origin,
      KeyManager: 'CUSTOMER',
      CustomerMasterKeySpec: this.spec,
      KeySpec: this.spec,
      EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
      MultiRegion: this.multiRegion,
      ...(this.tellsMaterial ? { CurrentKeyMaterialId: this.#current } : {}),
      ...(this.state === 'PendingDeletion' ? { DeletionDate: 1_900_000_000 } : {}),
    }
  }

  encrypt(plaintext: Buffer, context: Context): Buffer {
    const head = Buffer.concat([
      MAGIC,
      Buffer.from(this.id.padEnd(ID_BYTES)),
      Buffer.from(this.#current, 'hex'),
    ])
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#materials.get(this.#current)!, iv)
    cipher.setAAD(aad(head, context))
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()])
    return Buffer.concat([head, iv, sealed, cipher.getAuthTag()])
  }

  decrypt(blob: Buffer, context: Context): { plaintext: Buffer; materialId: string | undefined } {
    const head = blob.subarray(0, HEAD_BYTES)
    const materialId = head.subarray(-MATERIAL_BYTES).toString('hex')
    const material = this.#materials.get(materialId)
    if (material === undefined) throw invalidCiphertext()
    const iv = blob.subarray(HEAD_BYTES, HEAD_BYTES + IV_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', material, iv)
    decipher.setAAD(aad(head, context)).setAuthTag(blob.subarray(-TAG_BYTES))
    try {
      const plaintext = decipher.update(blob.subarray(HEAD_BYTES + IV_BYTES, -TAG_BYTES))
      decipher.final()
      const isTold = this.tellsMaterial && this.decryptTellsMaterial
      return { plaintext, materialId: isTold ? materialId : undefined }
    } catch {
      throw invalidCiphertext()
    }
  }

  /** @throws {AwsError} As AWS refuses cryptographic work in each state of a key. */
  assertWorks(): void {
    if (this.usage !== 'ENCRYPT_DECRYPT' || this.spec !== 'SYMMETRIC_DEFAULT') {
      throw new AwsError('InvalidKeyUsageException', `${this.arn} key usage is ${this.usage}.`)
    }
    switch (this.state) {
      case 'Enabled':
      case 'Updating':
        return
      case 'Disabled':
        throw new AwsError('DisabledException', `${this.arn} is disabled.`)
      case 'PendingDeletion':
        throw new AwsError('KMSInvalidStateException', `${this.arn} is pending deletion.`)
      case 'PendingReplicaDeletion':
        throw new AwsError('KMSInvalidStateException', `${this.arn} is pending replica deletion.`)
      case 'PendingImport':
        throw new AwsError('KMSInvalidStateException', `${this.arn} is pending import.`)
      case 'Creating':
        throw new AwsError('KMSInvalidStateException', `${this.arn} is creating.`)
      case 'Unavailable':
        throw new AwsError('KMSInvalidStateException', `${this.arn} is unavailable.`)
    }
  }
}

/** The id of the key that made a blob; nothing of it is authenticated yet. */
export function keyIdInBlob(blob: Buffer): string {
  const isLong = blob.length > HEAD_BYTES + IV_BYTES + TAG_BYTES
  if (!isLong || !blob.subarray(0, MAGIC.length).equals(MAGIC)) throw invalidCiphertext()
  return blob
    .subarray(MAGIC.length, MAGIC.length + ID_BYTES)
    .toString('latin1')
    .trimEnd()
}

/** The policy that the console gives a key: IAM decides. */
export function iamPolicy(account: string): PolicyDocument {
  const root = `arn:aws:iam::${account}:root`
  const Statement = [{ Effect: 'Allow', Principal: { AWS: root }, Action: 'kms:*', Resource: '*' }]
  return { Version: '2012-10-17', Statement }
}

function invalidCiphertext(): AwsError {
  return new AwsError('InvalidCiphertextException', '')
}

function aad(head: Buffer, context: Context): Buffer {
  const pairs = Object.entries(context).sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.concat([head, Buffer.from(JSON.stringify(pairs))])
}
