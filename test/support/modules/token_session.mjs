/**
 * A process that has one session on a token for as long as a test wants it, and does what the test sends over IPC.
 * token_session.ts drives it. Answers { id, value } or { id, rv }: the number of a CKR code.
 */
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import process from 'node:process'
import p from 'pkcs11js'

const { module, libraryParameters, tokenLabel, pin } = JSON.parse(process.argv[2])
const lib = new p.PKCS11()
lib.load(module)
let session

const aes = (mechanism, parameter) => () => ({ mechanism, parameter: parameter?.() })
const oaep = (hashAlg, mgf) => ({ type: p.CK_PARAMS_RSA_OAEP, hashAlg, mgf, source: 1 })

/** A mechanism, made once a round trip: its IV must stay the same. */
const strategies = {
  'aes-gcm': aes(p.CKM_AES_GCM, () => ({
    type: p.CK_PARAMS_AES_GCM_v240,
    iv: randomBytes(12),
    ivBits: 96,
    aad: Buffer.from('aad'),
    tagBits: 128,
  })),
  'aes-kw': aes(p.CKM_AES_KEY_WRAP),
  'aes-kwp': aes(0x210b),
  'aes-cbc': aes(p.CKM_AES_CBC, () => randomBytes(16)),
  'rsa-oaep-sha256': aes(p.CKM_RSA_PKCS_OAEP, () => oaep(p.CKM_SHA256, p.CKG_MGF1_SHA256)),
  'rsa-oaep-sha1': aes(p.CKM_RSA_PKCS_OAEP, () => oaep(p.CKM_SHA_1, p.CKG_MGF1_SHA1)),
}

const commands = {
  start() {
    lib.C_Initialize({
      flags: p.CKF_OS_LOCKING_OK,
      // pkcs11js drops the last character.
      ...(libraryParameters === undefined ? {} : { libraryParameters: `${libraryParameters} ` }),
    })
    const slot = lib.C_GetSlotList(true).find((each) => labelOf(each) === tokenLabel)
    session = lib.C_OpenSession(slot, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION)
    lib.C_Login(session, p.CKU_USER, pin)
  },
  end: () => lib.C_Finalize(),
  countSlots: () => lib.C_GetSlotList(true).length,
  /** Of 32 random bytes. Answers how long the sealed ones are; throws unless the same bytes come back. */
  roundTrip({ strategy, label }) {
    const mechanism = strategies[strategy]()
    const isRsa = strategy.startsWith('rsa')
    const data = randomBytes(32)
    const sealingKey = find(label, isRsa ? p.CKO_PUBLIC_KEY : p.CKO_SECRET_KEY)
    // tpm2-pkcs11 says of OAEP that it filled whatever room it was given.
    const room = isRsa
      ? lib.C_GetAttributeValue(session, sealingKey, [{ type: p.CKA_MODULUS }])[0].value.length
      : 1024
    lib.C_EncryptInit(session, mechanism, sealingKey)
    const sealed = Buffer.from(lib.C_Encrypt(session, data, Buffer.alloc(room)))
    lib.C_DecryptInit(session, mechanism, find(label, isRsa ? p.CKO_PRIVATE_KEY : p.CKO_SECRET_KEY))
    const opened = lib.C_Decrypt(session, sealed, Buffer.alloc(1024))
    if (!opened.equals(data)) throw new Error('other bytes came back')
    return sealed.length
  },
  /** Answers how long the MAC is; throws unless it verifies. */
  hmac({ label }) {
    const key = find(label, p.CKO_SECRET_KEY)
    const data = randomBytes(48)
    lib.C_SignInit(session, { mechanism: p.CKM_SHA256_HMAC }, key)
    const mac = Buffer.from(lib.C_Sign(session, data, Buffer.alloc(64)))
    lib.C_VerifyInit(session, { mechanism: p.CKM_SHA256_HMAC }, key)
    if (!lib.C_Verify(session, data, mac)) throw new Error('the MAC does not verify')
    return mac.length
  },
}

process.on('message', ({ id, command, words }) => {
  try {
    process.send({ id, value: commands[command](words) })
  } catch (error) {
    // Some of pkcs11js's errors have their number in the message only.
    const rv = error.code ?? Number(/^CKR_\w+:(\d+)/.exec(error.message)?.[1])
    process.send({ id, rv, message: error.message })
  }
})

function labelOf(each) {
  // opencryptoki pads with NUL.
  return lib.C_GetTokenInfo(each).label.replace(/[\0 ]+$/, '')
}

function find(label, objectClass) {
  lib.C_FindObjectsInit(session, [
    { type: p.CKA_CLASS, value: objectClass },
    { type: p.CKA_LABEL, value: label },
  ])
  const [found] = lib.C_FindObjects(session, 1)
  lib.C_FindObjectsFinal(session)
  if (found === undefined) throw new Error(`no such key: ${label}`)
  return found
}
