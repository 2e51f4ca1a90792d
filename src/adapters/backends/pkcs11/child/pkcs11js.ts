/**
 * What do we use of the package pkcs11js? Its own types are not imported: it is compiled when it is installed and
 * absent where that failed, and the plugin must build there all the same.
 */

/** A CK_ULONG as a Buffer; opaque. */
export type Handle = Buffer

export type Template = readonly {
  readonly type: number
  readonly value: Buffer | string | number | boolean
}[]

export interface Mechanism {
  readonly mechanism: number
  readonly parameter?: Buffer | GcmParameter
}

/** CK_GCM_PARAMS of PKCS#11 v2.40. Every field is needed: pkcs11js takes a missing one for 0. */
export interface GcmParameter {
  /** CK_PARAMS_AES_GCM_v240. */
  readonly type: number
  readonly iv: Buffer
  readonly ivBits: number
  readonly aad: Buffer
  readonly tagBits: number
}

export interface TokenInfo {
  /** Padded to 32 bytes. */
  readonly label: string
  readonly manufacturerID: string
  readonly model: string
  readonly flags: number
}

/** The synchronous functions of one loaded module. They throw what `call` in cryptoki.ts understands. */
export interface Cryptoki {
  load(path: string): void
  C_Initialize(options: { readonly flags: number }): void
  C_GetSlotList(tokenPresent: boolean): Handle[]
  C_GetTokenInfo(slot: Handle): TokenInfo
  C_OpenSession(slot: Handle, flags: number): Handle
  C_CloseSession(session: Handle): void
  C_GetSessionInfo(session: Handle): { readonly state: number }
  C_Login(session: Handle, userType: number, pin: string): void
  C_FindObjectsInit(session: Handle, template: Template): void
  C_FindObjects(session: Handle, maxCount: number): Handle[]
  C_FindObjectsFinal(session: Handle): void
  /** `value` is missing where the token does not tell. */
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    template: readonly { readonly type: number }[],
  ): readonly { readonly value?: Buffer }[]
  C_GenerateKey(session: Handle, mechanism: Mechanism, template: Template): Handle
  C_EncryptInit(session: Handle, mechanism: Mechanism, key: Handle): void
  /** @returns The part of `out` that was written. */
  C_Encrypt(session: Handle, data: Buffer, out: Buffer): Buffer
  C_DecryptInit(session: Handle, mechanism: Mechanism, key: Handle): void
  /** @returns The part of `out` that was written. */
  C_Decrypt(session: Handle, data: Buffer, out: Buffer): Buffer
}

export type Pkcs11js = Readonly<Record<ConstantName, number>> & { readonly PKCS11: new () => Cryptoki }

type ConstantName =
  | 'CKA_CHECK_VALUE'
  | 'CKA_CLASS'
  | 'CKA_DECRYPT'
  | 'CKA_DERIVE'
  | 'CKA_ENCRYPT'
  | 'CKA_EXTRACTABLE'
  | 'CKA_ID'
  | 'CKA_KEY_TYPE'
  | 'CKA_LABEL'
  | 'CKA_MODIFIABLE'
  | 'CKA_PRIVATE'
  | 'CKA_SENSITIVE'
  | 'CKA_SIGN'
  | 'CKA_TOKEN'
  | 'CKA_UNWRAP'
  | 'CKA_VALUE_LEN'
  | 'CKA_VERIFY'
  | 'CKA_WRAP'
  | 'CKF_OS_LOCKING_OK'
  | 'CKF_RW_SESSION'
  | 'CKF_SERIAL_SESSION'
  | 'CKF_USER_PIN_COUNT_LOW'
  | 'CKF_USER_PIN_FINAL_TRY'
  | 'CKF_USER_PIN_LOCKED'
  | 'CKK_AES'
  | 'CKM_AES_CBC'
  | 'CKM_AES_ECB'
  | 'CKM_AES_GCM'
  | 'CKM_AES_KEY_GEN'
  | 'CKO_SECRET_KEY'
  | 'CKU_USER'
  | 'CK_PARAMS_AES_GCM_v240'
