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
  readonly parameter?: Buffer | GcmParameter | OaepParameter
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

/** CK_RSA_PKCS_OAEP_PARAMS. */
export interface OaepParameter {
  /** CK_PARAMS_RSA_OAEP. */
  readonly type: number
  readonly hashAlg: number
  /** CK_RSA_PKCS_MGF_TYPE. */
  readonly mgf: number
  /** CKZ_DATA_SPECIFIED is 1. */
  readonly source: number
}

/** Texts are padded with spaces. */
export interface TokenInfo {
  /** 32 bytes. */
  readonly label: string
  /** 32 bytes. */
  readonly manufacturerID: string
  /** 16 bytes. */
  readonly model: string
  /** 16 bytes. */
  readonly serialNumber: string
  readonly flags: number
}

/** The synchronous functions of one loaded module. They throw what `call` in cryptoki.ts understands. */
export interface Cryptoki {
  load(path: string): void
  C_Initialize(options: { readonly flags: number; readonly libraryParameters?: string }): void
  C_Finalize(): void
  C_GetSlotList(tokenPresent: boolean): Handle[]
  C_GetTokenInfo(slot: Handle): TokenInfo
  C_GetMechanismList(slot: Handle): number[]
  C_GetMechanismInfo(slot: Handle, type: number): { readonly flags: number }
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
  /** The objects get the templates in this order: public, private. */
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicKey: Template,
    privateKey: Template,
  ): { readonly publicKey: Handle; readonly privateKey: Handle }
  C_CreateObject(session: Handle, template: Template): Handle
  C_DestroyObject(session: Handle, object: Handle): void
  /** @returns The part of `out` that was written. */
  C_WrapKey(session: Handle, mechanism: Mechanism, wrapping: Handle, key: Handle, out: Buffer): Buffer
  C_UnwrapKey(
    session: Handle,
    mechanism: Mechanism,
    unwrapping: Handle,
    wrapped: Buffer,
    template: Template,
  ): Handle
  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void
  /** @returns The part of `out` that was written. */
  C_Sign(session: Handle, data: Buffer, out: Buffer): Buffer
  C_EncryptInit(session: Handle, mechanism: Mechanism, key: Handle): void
  /** @returns The part of `out` that was written. */
  C_Encrypt(session: Handle, data: Buffer, out: Buffer): Buffer
  C_DecryptInit(session: Handle, mechanism: Mechanism, key: Handle): void
  /** @returns The part of `out` that was written. */
  C_Decrypt(session: Handle, data: Buffer, out: Buffer): Buffer
}

export type Pkcs11js = Readonly<Record<ConstantName, number>> & { readonly PKCS11: new () => Cryptoki }

type ConstantName =
  | 'CKA_ALWAYS_SENSITIVE'
  | 'CKA_CHECK_VALUE'
  | 'CKA_CLASS'
  | 'CKA_DECRYPT'
  | 'CKA_DERIVE'
  | 'CKA_ENCRYPT'
  | 'CKA_EXTRACTABLE'
  | 'CKA_ID'
  | 'CKA_KEY_TYPE'
  | 'CKA_LABEL'
  | 'CKA_LOCAL'
  | 'CKA_MODIFIABLE'
  | 'CKA_MODULUS'
  | 'CKA_MODULUS_BITS'
  | 'CKA_NEVER_EXTRACTABLE'
  | 'CKA_PRIVATE'
  | 'CKA_PUBLIC_EXPONENT'
  | 'CKA_SENSITIVE'
  | 'CKA_SIGN'
  | 'CKA_TOKEN'
  | 'CKA_UNWRAP'
  | 'CKA_VALUE'
  | 'CKA_VALUE_LEN'
  | 'CKA_VERIFY'
  | 'CKA_WRAP'
  | 'CKF_DECRYPT'
  | 'CKF_ENCRYPT'
  | 'CKF_OS_LOCKING_OK'
  | 'CKF_RW_SESSION'
  | 'CKF_SERIAL_SESSION'
  | 'CKF_SO_PIN_LOCKED'
  | 'CKF_TOKEN_INITIALIZED'
  | 'CKF_USER_PIN_COUNT_LOW'
  | 'CKF_USER_PIN_FINAL_TRY'
  | 'CKF_USER_PIN_LOCKED'
  | 'CKF_USER_PIN_TO_BE_CHANGED'
  | 'CKG_MGF1_SHA1'
  | 'CKG_MGF1_SHA256'
  | 'CKK_AES'
  | 'CKK_DES3'
  | 'CKK_EC'
  | 'CKK_GENERIC_SECRET'
  | 'CKK_RSA'
  | 'CKK_SHA256_HMAC'
  | 'CKM_AES_CBC'
  | 'CKM_AES_ECB'
  | 'CKM_AES_GCM'
  | 'CKM_AES_KEY_GEN'
  | 'CKM_AES_KEY_WRAP'
  | 'CKM_AES_KEY_WRAP_PAD'
  | 'CKM_GENERIC_SECRET_KEY_GEN'
  | 'CKM_RSA_PKCS'
  | 'CKM_RSA_PKCS_KEY_PAIR_GEN'
  | 'CKM_RSA_PKCS_OAEP'
  | 'CKM_SHA256'
  | 'CKM_SHA256_HMAC'
  | 'CKM_SHA_1'
  | 'CKO_CERTIFICATE'
  | 'CKO_PRIVATE_KEY'
  | 'CKO_PUBLIC_KEY'
  | 'CKO_SECRET_KEY'
  | 'CKU_USER'
  | 'CK_PARAMS_AES_GCM_v240'
  | 'CK_PARAMS_RSA_OAEP'
