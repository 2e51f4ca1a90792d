/** The keys of the fake IBM KMS: versions, states and what they wrap. Real AES-256-GCM, in the form that IBM's ciphertexts have. */
import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto'

export interface KeyVersion {
  readonly id: string
  readonly material: Buffer
  readonly creationDate: string
}

export interface FakeKey {
  readonly id: string
  readonly aliases: Set<string>
  /** The last one wraps. */
  readonly versions: KeyVersion[]
  ring: string
  /** 0 pre-active, 1 active, 2 suspended, 3 deactivated, 5 destroyed. */
  state: number
  /** A standard key. */
  extractable: boolean
  /** On the fake's clock, in ms: of the last disable, delete or rotate. */
  changedMs: number
  rotatedMs: number
  expirationDate: string | undefined
  dualAuth: { enabled: boolean; keySetForDeletion?: boolean }
}

export function makeKey(change: Partial<FakeKey> = {}): FakeKey {
  return {
    id: randomUUID(),
    aliases: new Set(),
    versions: [makeVersion()],
    ring: 'default',
    state: 1,
    extractable: false,
    changedMs: -Infinity,
    rotatedMs: -Infinity,
    expirationDate: undefined,
    dualAuth: { enabled: false },
    ...change,
  }
}

export function makeVersion(): KeyVersion {
  return { id: randomUUID(), material: randomBytes(32), creationDate: '2026-11-26T12:00:00Z' }
}

export function currentVersion(key: FakeKey): KeyVersion {
  return key.versions.at(-1)!
}

/** @returns Base64 of a small JSON document, as IBM's documentation shows it. */
export function seal(version: KeyVersion, plaintext: Buffer, aad: readonly string[]): string {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', version.material, iv).setAAD(boundTo(version, aad))
  const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  return Buffer.from(documentOf(sealed, iv, version.id)).toString('base64')
}

/** What {@link seal} has made, to the last byte, and by which version; `undefined` for anything else. */
export function unseal(
  key: FakeKey,
  text: string,
  aad: readonly string[],
): { readonly version: KeyVersion; readonly plaintext: Buffer } | undefined {
  try {
    const document = Buffer.from(text, 'base64').toString('utf8')
    const { ciphertext, iv, handle } = JSON.parse(document) as Record<'ciphertext' | 'iv' | 'handle', string>
    const [sealed, ivBytes] = [Buffer.from(ciphertext, 'base64'), Buffer.from(iv, 'base64')]
    const version = key.versions.find(({ id }) => id === handle)
    if (version === undefined || documentOf(sealed, ivBytes, handle) !== document) return undefined
    const decipher = createDecipheriv('aes-256-gcm', version.material, ivBytes, { authTagLength: 16 })
    decipher.setAAD(boundTo(version, aad)).setAuthTag(sealed.subarray(-16))
    return { version, plaintext: Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]) }
  } catch {
    return undefined
  }
}

function documentOf(sealed: Buffer, iv: Buffer, handle: string): string {
  const [ciphertext, ivText] = [sealed.toString('base64'), iv.toString('base64')]
  return JSON.stringify({ ciphertext, iv: ivText, version: '4.0.0', handle })
}

function boundTo(version: KeyVersion, aad: readonly string[]): Buffer {
  return Buffer.from(JSON.stringify([version.id, ...aad]))
}
