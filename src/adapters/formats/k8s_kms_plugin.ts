/**
 * How is a value opened that k8s-kms-plugin made, as of Thales (KMS v1) or of Eclipse KeySealer (KMS v2)?
 *
 * The bytes are a JWE of the library gose. Source: ThalesGroup/gose, ThalesGroup/k8s-kms-plugin and
 * eclipse-keysealer/k8s-kms-plugin (pkg/providers/p11.go).
 */
import * as z from 'zod'
import { KmsError } from '../../ports/errors.js'
import type { NativeCiphertext, OpeningPlan, StoredValue } from '../../ports/foreign.js'
import type { Format, Permission } from './format.js'
import { openGcm } from './gcm.js'
import { isAuthentic, macQuestions, readGoseCbc } from './gose_cbc.js'
import { explainJwe, familyOf } from './jwe_family.js'
import { beginsLikeJwe, malformed, parseCompactJwe, type CompactJwe } from './jwe_compact.js'

const DOMAIN = '.k8s-kms-plugin.keysealer.eclipse.org'
const KEM_ANNOTATION = `kem-ciphertext${DOMAIN}`
const TAG_BYTES = 16
const RSA_BYTES: readonly number[] = [256, 384, 512]
/** CKA_ID in hexadecimal; Eclipse allows 512 bytes. */
const KEY_ID = /^(?:[0-9a-f]{2}){1,512}$/

const options = () =>
  z
    .strictObject({
      label: z
        .string()
        .min(1, 'must not be empty')
        .optional()
        .describe(
          'What the other plugin called the key (`--p11-key-label`), where its CKA_LABEL is another today. Values of KMS v1 name their key by it.',
        ),
      macKeyLabel: z
        .string()
        .min(1, 'must not be empty')
        .optional()
        .describe('CKA_LABEL of the HMAC key of `aes-cbc` (`--p11-hmac-label`), on the same token.'),
      macKeyId: z
        .string()
        .regex(/^(?:[0-9a-fA-F]{2}){1,128}$/, 'must be hexadecimal, two digits a byte')
        .optional()
        .describe('The same by its CKA_ID in hexadecimal (`--p11-hmac-id`).'),
    })
    .refine(({ macKeyLabel, macKeyId }) => macKeyLabel === undefined || macKeyId === undefined, {
      path: ['macKeyId'],
      message: 'names the HMAC key; leave out macKeyLabel',
    })

type Options = z.infer<ReturnType<typeof options>>

export const k8sKmsPlugin: Format<Options> = {
  name: 'k8s-kms-plugin',
  writtenBy: 'k8s-kms-plugin of Thales or Eclipse KeySealer',
  backends: ['pkcs11'],
  authenticated: 'some',
  options,

  recognize(value) {
    if (Object.keys(value.annotations).some((name) => name.endsWith(DOMAIN))) return 'annotation'
    if (value.keyId !== undefined && !KEY_ID.test(value.keyId)) return undefined
    return beginsLikeJwe(value.ciphertext) && isOurs(value.ciphertext) ? 'bytes' : undefined
  },

  explain(value) {
    if (isKem(value)) return { fields: [{ label: 'family', value: 'ml-kem' }], problem: kemRefused().message }
    return explainJwe(value.ciphertext)
  },

  plan(value, given, permission) {
    if (isKem(value)) throw kemRefused()
    const jwe = parseCompactJwe(value.ciphertext)
    switch (familyOf(jwe.header)) {
      case 'aes-gcm':
        return planGcm(jwe, keyNameOf(jwe, value, given))
      case 'aes-cbc':
        return planCbc(jwe, keyNameOf(jwe, value, given), given, permission)
      case 'rsa-oaep':
        return planRsa(jwe, idOf(value))
    }
  },
}

function planGcm(jwe: CompactJwe, keyName: KeyName): OpeningPlan {
  const { headerText, encryptedKey, iv, ciphertext, tag } = jwe
  // 12 bytes on some modules, 16 on most: crypto11's own default.
  if (encryptedKey.length > 0 || ![12, 16].includes(iv.length) || tag.length !== TAG_BYTES) {
    throw malformed('its parts are not as long as AES-GCM makes them')
  }
  const aad = Buffer.from(headerText, 'ascii')
  const question: NativeCiphertext = { algorithm: 'AES-GCM', bytes: ciphertext, iv, tag, aad, ...keyName }
  return { questions: [question], finish: ([plaintext = NOTHING]) => Buffer.from(plaintext) }
}

function planCbc(jwe: CompactJwe, keyName: KeyName, given: Options, permission: Permission): OpeningPlan {
  const cbc = readGoseCbc(jwe)
  const question: NativeCiphertext = { algorithm: 'AES-CBC', bytes: cbc.blocks, iv: jwe.iv, ...keyName }
  const { macKeyLabel, macKeyId } = given
  const macKey = macKeyId === undefined ? macKeyLabel && `label:${macKeyLabel}` : `id:${macKeyId}`
  const { allowUnauthenticated } = permission
  if (macKey === undefined && !allowUnauthenticated) {
    throw unauthenticated('no HMAC key is named: set macKeyLabel or macKeyId of the format, or')
  }
  const macs = macKey === undefined ? [] : macQuestions(cbc, macKey)
  return {
    questions: [...macs, question],
    // The HMAC is by a key of its own, which several of these may share.
    opensUnderAnyKey: question.keyName === undefined,
    finish: (answers) => {
      const isSafe = macs.length > 0 && isAuthentic(jwe.tag, answers.slice(0, macs.length))
      if (!isSafe && !allowUnauthenticated) throw unauthenticated('its HMAC is not one of all of it:')
      return Buffer.from((answers.at(-1) ?? NOTHING).subarray(0, cbc.plaintextBytes))
    },
  }
}

/** SHA-256 whatever the header says: before gose 1.0.0-rc2 it named SHA-1, and SHA-256 was used. */
function planRsa(jwe: CompactJwe, keyName: KeyName): OpeningPlan {
  const { headerText, encryptedKey, iv, ciphertext, tag } = jwe
  if (!RSA_BYTES.includes(encryptedKey.length) || iv.length !== 12 || tag.length !== TAG_BYTES) {
    throw malformed('its parts are not as long as RSA and AES-GCM make them')
  }
  return {
    questions: [{ algorithm: 'RSA-OAEP-256', bytes: encryptedKey, ...keyName }],
    finish: ([contentKey = NOTHING]) =>
      openGcm(contentKey, [32], { iv, ciphertext, tag, aad: Buffer.from(headerText, 'ascii') }),
  }
}

const NOTHING = new Uint8Array()

/** Spread into a question; empty where any key of the configuration may have made the value. */
type KeyName = Pick<NativeCiphertext, 'keyName'>

/**
 * By CKA_ID on v2. On v1 by the label, which the header of `aes-gcm` has and that of `aes-cbc` lacks.
 *
 * @throws {KmsError} `ERR_KEY_UNKNOWN`, or `ERR_KEY_ID_MISMATCH` where header and key id name two keys.
 */
function keyNameOf({ header }: CompactJwe, value: StoredValue, { label }: Options): KeyName {
  const kid = header['kid']
  const { keyId } = value
  if (keyId !== undefined) {
    const isId = typeof kid === 'string' && header['alg'] === 'A256CBC'
    if (!isId || kid === keyId) return idOf(value)
    throw new KmsError('ERR_KEY_ID_MISMATCH', 'the key id of the value is not the one in its header')
  }
  if (typeof kid !== 'string' || kid === '') return {}
  if (label === undefined) return { keyName: `label:${kid}` }
  if (label === kid) return {}
  throw new KmsError('ERR_KEY_UNKNOWN', 'the value was made by a key of another label')
}

function idOf({ keyId }: StoredValue): KeyName {
  if (keyId === undefined) return {}
  if (KEY_ID.test(keyId)) return { keyName: `id:${keyId}` }
  throw malformed('its key id is no CKA_ID in hexadecimal')
}

function isOurs(bytes: Uint8Array): boolean {
  try {
    familyOf(parseCompactJwe(bytes).header)
    return true
  } catch {
    return false
  }
}

function isKem({ annotations }: StoredValue): boolean {
  const family = annotations[`algorithm-family${DOMAIN}`]
  return (
    annotations[KEM_ANNOTATION] !== undefined || (family !== undefined && Buffer.from(family).equals(KEM))
  )
}

const KEM = Buffer.from('ml-kem', 'ascii')

function kemRefused(): KmsError {
  return malformed(
    'its family is ml-kem, which no decoder here opens; let the plugin that made it rewrite it',
  )
}

function unauthenticated(text: string): KmsError {
  return new KmsError(
    'ERR_VALUE_UNAUTHENTICATED',
    `nothing shows whether this value was altered, ${text} set allowUnauthenticated: true on the key`,
  )
}
