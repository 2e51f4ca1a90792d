/** How does one talk to one token of a PKCS#11 module? Knows slots, sessions, objects and attributes, and no KEK. */
import { endianness } from 'node:os'
import { CKR_CRYPTOKI_ALREADY_INITIALIZED } from '../ckr.js'
import { call, HsmError } from './cryptoki.js'
import type { Cryptoki, Handle, Mechanism, Pkcs11js, Template, TokenInfo } from './pkcs11js.js'

/** CK_STATE of a session after C_Login as user: read-only and read-write. */
const USER_STATES: readonly number[] = [1, 3]

export class Token {
  readonly p11: Pkcs11js
  readonly module: Cryptoki
  /** Opaque; valid in every thread of this process. */
  readonly slot: Handle
  readonly label: string

  constructor(p11: Pkcs11js, module: Cryptoki, slot: Handle, label: string) {
    this.p11 = p11
    this.module = module
    this.slot = slot
    this.label = label
  }

  info(): TokenInfo {
    return call('C_GetTokenInfo', () => this.module.C_GetTokenInfo(this.slot))
  }

  openSession(mode: 'read' | 'write' = 'read'): Handle {
    const { CKF_SERIAL_SESSION, CKF_RW_SESSION } = this.p11
    const flags = CKF_SERIAL_SESSION | (mode === 'write' ? CKF_RW_SESSION : 0)
    return call('C_OpenSession', () => this.module.C_OpenSession(this.slot, flags))
  }

  /** Never fails: a session that cannot be closed is gone. */
  closeSession(session: Handle): void {
    try {
      this.module.C_CloseSession(session)
    } catch {
      // Nothing is left to do.
    }
  }

  /** Work in a session of its own, so that whatever state it leaves behind meets nobody. */
  inSession<T>(mode: 'read' | 'write', work: (session: Handle) => T): T {
    const session = this.openSession(mode)
    try {
      return work(session)
    } finally {
      this.closeSession(session)
    }
  }

  isLoggedIn(session: Handle): boolean {
    const { state } = call('C_GetSessionInfo', () => this.module.C_GetSessionInfo(session))
    return USER_STATES.includes(state)
  }

  /** The first objects that match; two are enough to tell one from several. */
  find(session: Handle, template: Template, maxCount = 2): readonly Handle[] {
    call('C_FindObjectsInit', () => this.module.C_FindObjectsInit(session, template))
    try {
      return call('C_FindObjects', () => this.module.C_FindObjects(session, maxCount))
    } finally {
      call('C_FindObjectsFinal', () => this.module.C_FindObjectsFinal(session))
    }
  }

  /** One attribute; `undefined` when the token does not tell. One a call: an unknown one fails the whole call. */
  attribute(session: Handle, object: Handle, type: number): Buffer | undefined {
    try {
      const [attribute] = call('C_GetAttributeValue', () =>
        this.module.C_GetAttributeValue(session, object, [{ type }]),
      )
      return attribute?.value
    } catch (error) {
      if (error instanceof HsmError && error.code === 'ERR_KEY_UNUSABLE') return undefined
      throw error
    }
  }

  flag(session: Handle, object: Handle, type: number): boolean | undefined {
    const value = this.attribute(session, object, type)
    return value === undefined ? undefined : value[0] === 1
  }

  /** A CK_ULONG, in this machine's byte order; the low 32 bits of it. */
  number(session: Handle, object: Handle, type: number): number | undefined {
    const value = this.attribute(session, object, type)
    if (value === undefined || value.length < 4) return undefined
    return endianness() === 'LE' ? value.readUInt32LE() : value.readUInt32BE(value.length - 4)
  }

  /**
   * Encrypts in one part. The mechanism's buffers must live until this returns.
   *
   * @param maxBytes How much room the module gets.
   */
  encrypt(session: Handle, mechanism: Mechanism, key: Handle, data: Buffer, maxBytes: number): Buffer {
    const out = Buffer.allocUnsafeSlow(maxBytes)
    call('C_EncryptInit', () => this.module.C_EncryptInit(session, mechanism, key))
    return call('C_Encrypt', () => this.module.C_Encrypt(session, data, out))
  }

  startDecrypt(session: Handle, mechanism: Mechanism, key: Handle): void {
    call('C_DecryptInit', () => this.module.C_DecryptInit(session, mechanism, key))
  }

  /** The one part of a decryption that was started; its mechanism's buffers must live until this returns. */
  decrypt(session: Handle, data: Buffer, maxBytes: number): Buffer {
    const out = Buffer.allocUnsafeSlow(maxBytes)
    return call('C_Decrypt', () => this.module.C_Decrypt(session, data, out))
  }
}

/** Initialises the module for use by several threads; only one thread does it. */
export function initialise(p11: Pkcs11js, module: Cryptoki): void {
  try {
    // Without the flag a module may turn its locks off.
    call('C_Initialize', () => module.C_Initialize({ flags: p11.CKF_OS_LOCKING_OK }))
  } catch (error) {
    if (!(error instanceof HsmError && error.rv === CKR_CRYPTOKI_ALREADY_INITIALIZED)) throw error
  }
}

/**
 * The slot of the one token with this label.
 *
 * @throws {HsmError} `ERR_BACKEND_UNAVAILABLE` when none has it (an HSM that is out shows no token), and
 * `ERR_CONFIG_INVALID` when several have.
 */
export function findSlot(module: Cryptoki, label: string): Handle {
  const labels: string[] = []
  const matches = call('C_GetSlotList', () => module.C_GetSlotList(true)).filter((slot) => {
    const found = labelOf(module, slot)
    if (found !== undefined) labels.push(found)
    return found === label
  })
  const [slot] = matches
  if (slot === undefined) {
    const seen = labels.length === 0 ? 'no token at all' : labels.map((text) => `"${text}"`).join(', ')
    throw new HsmError(
      'ERR_BACKEND_UNAVAILABLE',
      `no token has the label "${label}"; the module shows ${seen}; check tokenLabel and the HSM`,
      'replace',
    )
  }
  if (matches.length > 1) {
    throw new HsmError(
      'ERR_CONFIG_INVALID',
      `${matches.length} tokens have the label "${label}"; give each its own`,
    )
  }
  return slot
}

/** `undefined` for a slot whose token cannot be asked: it is not the one. */
function labelOf(module: Cryptoki, slot: Handle): string | undefined {
  try {
    return module.C_GetTokenInfo(slot).label.replace(/[ \0]+$/, '')
  } catch {
    return undefined
  }
}
