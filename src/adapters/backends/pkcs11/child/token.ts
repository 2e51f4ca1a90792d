/** How does one talk to one token of a PKCS#11 module? Knows slots, sessions, objects and attributes, and no KEK. */
import { endianness } from 'node:os'
import { call, HsmError } from './cryptoki.js'
import type { Cryptoki, Handle, Mechanism, Pkcs11js, Template, TokenInfo } from './pkcs11js.js'

/** The low 32 bits of a CK_ULONG in this machine's byte order, such as a handle. */
export function ulong(value: Buffer): number {
  return endianness() === 'LE' ? value.readUInt32LE() : value.readUInt32BE(value.length - 4)
}

/** CK_STATE of a session after C_Login as user: read-only and read-write. */
const USER_STATES: readonly number[] = [1, 3]

export class Token {
  readonly p11: Pkcs11js
  readonly module: Cryptoki
  /** Opaque; valid in every thread of this process. */
  readonly slot: Handle
  /** For messages: `token "k8s"`. */
  readonly name: string
  readonly #mechanismFlags = new Map<number, number>()

  constructor(p11: Pkcs11js, module: Cryptoki, slot: Handle, name: string) {
    this.p11 = p11
    this.module = module
    this.slot = slot
    this.name = name
  }

  info(): TokenInfo {
    return call('C_GetTokenInfo', () => this.module.C_GetTokenInfo(this.slot))
  }

  /** CKF_… flags of a mechanism; 0 when the token does not have it. Asked once: they are those of its firmware. */
  mechanismFlags(type: number): number {
    const known = this.#mechanismFlags.get(type)
    if (known !== undefined) return known
    const flags = this.#askMechanismFlags(type)
    this.#mechanismFlags.set(type, flags)
    return flags
  }

  #askMechanismFlags(type: number): number {
    try {
      return call('C_GetMechanismInfo', () => this.module.C_GetMechanismInfo(this.slot, type)).flags
    } catch (error) {
      if (error instanceof HsmError && error.code === 'ERR_KEY_UNUSABLE') return 0
      throw error
    }
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
    // Any other length is no answer to build on.
    return value?.length === 1 ? value[0] !== 0 : undefined
  }

  /** A CK_ULONG, in this machine's byte order; the low 32 bits of it. */
  number(session: Handle, object: Handle, type: number): number | undefined {
    const value = this.attribute(session, object, type)
    return value === undefined || value.length < 4 ? undefined : ulong(value)
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

  /** Signs, or makes a MAC, in one part. */
  sign(session: Handle, mechanism: Mechanism, key: Handle, data: Buffer, maxBytes: number): Buffer {
    const out = Buffer.allocUnsafeSlow(maxBytes)
    call('C_SignInit', () => this.module.C_SignInit(session, mechanism, key))
    return call('C_Sign', () => this.module.C_Sign(session, data, out))
  }

  wrapKey(session: Handle, mechanism: Mechanism, wrapping: Handle, key: Handle, maxBytes: number): Buffer {
    const out = Buffer.allocUnsafeSlow(maxBytes)
    return call('C_WrapKey', () => this.module.C_WrapKey(session, mechanism, wrapping, key, out))
  }

  unwrapKey(
    session: Handle,
    mechanism: Mechanism,
    unwrapping: Handle,
    wrapped: Buffer,
    template: Template,
  ): Handle {
    return call('C_UnwrapKey', () =>
      this.module.C_UnwrapKey(session, mechanism, unwrapping, wrapped, template),
    )
  }

  createObject(session: Handle, template: Template): Handle {
    return call('C_CreateObject', () => this.module.C_CreateObject(session, template))
  }

  /** Never fails: where the object cannot be destroyed its session is closed, and it goes with that. */
  destroyObject(session: Handle, object: Handle): void {
    try {
      this.module.C_DestroyObject(session, object)
    } catch {
      this.closeSession(session)
    }
  }
}
