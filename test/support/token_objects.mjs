/**
 * Makes and destroys objects on a token, in a process of its own: a process can have a module only once.
 *
 * Usage: node token_objects.mjs '{"module":…,"libraryParameters":…,"tokenLabel":…,"pin":…,"steps":[…]}', with what the
 * module reads from its environment set. token_objects.ts types the steps. Prints, as JSON, the module's name and
 * version and what the user PIN's flags were before the first step.
 */
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { argv, stdout } from 'node:process'
import p from 'pkcs11js'

/** Every use is stated: modules differ in what they grant unasked. */
const UNUSED = {
  encrypt: false,
  decrypt: false,
  wrap: false,
  unwrap: false,
  sign: false,
  verify: false,
  derive: false,
}
const KEY_TYPES = { generic: p.CKK_GENERIC_SECRET, 'sha256-hmac': p.CKK_SHA256_HMAC }

/** DER of the curve's object identifier (RFC 5480). */
const PRIME256V1 = Buffer.from('06082a8648ce3d030107', 'hex')

const { module, libraryParameters, tokenLabel, pin, steps } = JSON.parse(argv[2])
const lib = new p.PKCS11()
lib.load(module)
lib.C_Initialize({
  flags: p.CKF_OS_LOCKING_OK,
  // pkcs11js drops the last character.
  ...(libraryParameters === undefined ? {} : { libraryParameters: `${libraryParameters} ` }),
})
const slot = lib.C_GetSlotList(true).find((each) => labelOf(each) === tokenLabel)
const session = lib.C_OpenSession(slot, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION)
const { flags } = lib.C_GetTokenInfo(slot)
for (const step of steps) take(step)
const { libraryDescription, libraryVersion } = lib.C_GetInfo()
const version = `${libraryVersion.major}.${libraryVersion.minor}`
stdout.write(
  JSON.stringify({
    library: `${libraryDescription.trim()} ${version}`,
    pinCountLow: (flags & p.CKF_USER_PIN_COUNT_LOW) !== 0,
  }),
)

function take(step) {
  if (step.do === 'login') login(step.pin)
  if (step.do === 'setPin') lib.C_SetPIN(session, pin, step.pin)
  if (step.do === 'relabel') {
    lib.C_SetAttributeValue(session, find(step.label)[0], [{ type: p.CKA_LABEL, value: step.to }])
  }
  if (step.do === 'allow') lib.C_SetAttributeValue(session, find(step.label)[0], uses(step))
  if (step.do === 'destroy') for (const object of find(step.label)) lib.C_DestroyObject(session, object)
  if (step.do === 'makeAes') {
    lib.C_GenerateKey(session, { mechanism: p.CKM_AES_KEY_GEN }, [
      ...secretKey(step, p.CKK_AES),
      ...uses({ ...UNUSED, encrypt: true, decrypt: true, ...step }),
    ])
  }
  if (step.do === 'importAes') {
    lib.C_CreateObject(session, [
      ...secretKey(step, p.CKK_AES, { type: p.CKA_VALUE, value: Buffer.from(step.value, 'hex') }),
      ...uses({ ...UNUSED, encrypt: true, decrypt: true, ...step }),
    ])
  }
  if (step.do === 'importSecret') {
    const value = { type: p.CKA_VALUE, value: Buffer.from(step.value, 'hex') }
    lib.C_CreateObject(session, [
      ...secretKey(step, KEY_TYPES[step.keyType ?? 'generic'], value),
      ...uses({ ...UNUSED, sign: true, verify: true, ...step }),
    ])
  }
  if (step.do === 'importRsa') importRsa(step)
  if (step.do === 'makeSecret') {
    lib.C_GenerateKey(session, { mechanism: p.CKM_GENERIC_SECRET_KEY_GEN }, [
      ...secretKey(step, KEY_TYPES[step.keyType ?? 'generic']),
      ...uses({ ...UNUSED, sign: true, verify: true, ...step }),
    ])
  }
  if (step.do === 'makeRsa') makeRsa(step)
  if (step.do === 'makeOther') makeOther(step)
}

/** What is no KEK, whatever it is called. */
function makeOther(step) {
  const name = named(step, idOf(step))
  if (step.kind === 'ec') {
    lib.C_GenerateKeyPair(
      session,
      { mechanism: p.CKM_EC_KEY_PAIR_GEN },
      [...name, { type: p.CKA_EC_PARAMS, value: PRIME256V1 }],
      [...name, ...guarded(step), { type: p.CKA_SIGN, value: true }],
    )
  }
  if (step.kind === 'des3') {
    lib.C_GenerateKey(session, { mechanism: p.CKM_DES3_KEY_GEN }, [...name, ...guarded(step)])
  }
  if (step.kind === 'rsa-public') {
    lib.C_CreateObject(session, [
      { type: p.CKA_CLASS, value: p.CKO_PUBLIC_KEY },
      { type: p.CKA_KEY_TYPE, value: p.CKK_RSA },
      ...name,
      { type: p.CKA_MODULUS, value: Buffer.alloc(256, 0xff) },
      { type: p.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
    ])
  }
  if (step.kind === 'certificate') {
    lib.C_CreateObject(session, [
      { type: p.CKA_CLASS, value: p.CKO_CERTIFICATE },
      { type: p.CKA_CERTIFICATE_TYPE, value: p.CKC_X_509 },
      ...name,
      { type: p.CKA_SUBJECT, value: Buffer.from('3000', 'hex') },
      { type: p.CKA_VALUE, value: Buffer.from('3000', 'hex') },
    ])
  }
}

/** A wrong PIN that the step states is the point of the step. */
function login(stated) {
  try {
    lib.C_Login(session, p.CKU_USER, stated ?? pin)
  } catch (error) {
    if (stated === undefined) throw error
  }
}

function labelOf(each) {
  try {
    // opencryptoki pads with NUL.
    return lib.C_GetTokenInfo(each).label.replace(/[\0 ]+$/, '')
  } catch {
    return undefined
  }
}

function find(label) {
  lib.C_FindObjectsInit(session, [{ type: p.CKA_LABEL, value: label }])
  const found = lib.C_FindObjects(session, 10)
  lib.C_FindObjectsFinal(session)
  return found
}

function secretKey(step, keyType, value = { type: p.CKA_VALUE_LEN, value: step.bytes ?? 32 }) {
  return [
    { type: p.CKA_CLASS, value: p.CKO_SECRET_KEY },
    { type: p.CKA_KEY_TYPE, value: keyType },
    value,
    ...named(step, idOf(step)),
    ...guarded(step),
    { type: p.CKA_MODIFIABLE, value: step.modifiable ?? false },
  ]
}

function makeRsa(step) {
  const id = idOf(step)
  const use = {
    encrypt: true,
    decrypt: true,
    wrap: false,
    unwrap: false,
    sign: false,
    verify: false,
    ...step,
  }
  lib.C_GenerateKeyPair(
    session,
    { mechanism: p.CKM_RSA_PKCS_KEY_PAIR_GEN },
    [
      ...named(step, id),
      { type: p.CKA_PRIVATE, value: false },
      { type: p.CKA_MODULUS_BITS, value: step.bits ?? 2048 },
      { type: p.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
      ...uses({ encrypt: use.encrypt, wrap: use.wrap, verify: use.verify }),
    ],
    [
      ...named(step, id),
      ...guarded(step),
      ...uses({ decrypt: use.decrypt, unwrap: use.unwrap, sign: use.sign }),
    ],
  )
}

function importRsa(step) {
  const parts = [
    [p.CKA_MODULUS, 'n'],
    [p.CKA_PUBLIC_EXPONENT, 'e'],
    [p.CKA_PRIVATE_EXPONENT, 'd'],
    [p.CKA_PRIME_1, 'p'],
    [p.CKA_PRIME_2, 'q'],
    [p.CKA_EXPONENT_1, 'dp'],
    [p.CKA_EXPONENT_2, 'dq'],
    [p.CKA_COEFFICIENT, 'qi'],
  ]
  lib.C_CreateObject(session, [
    { type: p.CKA_CLASS, value: p.CKO_PRIVATE_KEY },
    { type: p.CKA_KEY_TYPE, value: p.CKK_RSA },
    ...named(step, idOf(step)),
    ...guarded(step),
    ...parts.map(([type, name]) => ({ type, value: Buffer.from(step.key[name], 'base64url') })),
    ...uses({ decrypt: step.decrypt ?? true, unwrap: step.unwrap ?? false, sign: step.sign ?? false }),
  ])
}

function idOf({ id, emptyId }) {
  if (emptyId === true) return Buffer.alloc(0)
  return id === undefined ? randomBytes(16) : Buffer.from(id, 'hex')
}

function named({ label }, id) {
  return [
    { type: p.CKA_LABEL, value: label },
    { type: p.CKA_ID, value: id },
    { type: p.CKA_TOKEN, value: true },
  ]
}

function guarded({ sensitive, extractable }) {
  return [
    { type: p.CKA_PRIVATE, value: true },
    { type: p.CKA_SENSITIVE, value: sensitive ?? true },
    { type: p.CKA_EXTRACTABLE, value: extractable ?? false },
  ]
}

function uses(step) {
  return ['encrypt', 'decrypt', 'wrap', 'unwrap', 'sign', 'verify', 'derive']
    .filter((name) => step[name] !== undefined)
    .map((name) => ({ type: p[`CKA_${name.toUpperCase()}`], value: step[name] }))
}
