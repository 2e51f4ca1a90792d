/**
 * Makes and destroys objects on a SoftHSM token, in a process of its own: a process can only have one SoftHSM.
 *
 * Usage: node softhsm_objects.mjs '{"module":…,"tokenLabel":…,"pin":…,"steps":[…]}', with SOFTHSM2_CONF set.
 * Prints the user PIN's flags of the token, as JSON.
 */
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { argv, stdout } from 'node:process'
import p from 'pkcs11js'

const { module, tokenLabel, pin, steps } = JSON.parse(argv[2])
const lib = new p.PKCS11()
lib.load(module)
lib.C_Initialize({ flags: p.CKF_OS_LOCKING_OK })
const slot = lib.C_GetSlotList(true).find((each) => lib.C_GetTokenInfo(each).label.trimEnd() === tokenLabel)
const session = lib.C_OpenSession(slot, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION)
const { flags } = lib.C_GetTokenInfo(slot)

const idOf = ({ id }) => (id === undefined ? randomBytes(16) : Buffer.from(id, 'hex'))

for (const step of steps) {
  if (step.do === 'login') {
    try {
      lib.C_Login(session, p.CKU_USER, step.pin ?? pin)
    } catch (error) {
      if (step.pin === undefined) throw error
    }
  }
  if (step.do === 'setPin') lib.C_SetPIN(session, pin, step.pin)
  if (step.do === 'relabel') {
    lib.C_FindObjectsInit(session, [{ type: p.CKA_LABEL, value: step.label }])
    const [object] = lib.C_FindObjects(session, 1)
    lib.C_FindObjectsFinal(session)
    lib.C_SetAttributeValue(session, object, [{ type: p.CKA_LABEL, value: step.to }])
  }
  if (step.do === 'destroy') {
    lib.C_FindObjectsInit(session, [{ type: p.CKA_LABEL, value: step.label }])
    const found = lib.C_FindObjects(session, 10)
    lib.C_FindObjectsFinal(session)
    for (const object of found) lib.C_DestroyObject(session, object)
  }
  if (step.do === 'makeAes') {
    lib.C_GenerateKey(session, { mechanism: p.CKM_AES_KEY_GEN }, [
      { type: p.CKA_CLASS, value: p.CKO_SECRET_KEY },
      { type: p.CKA_KEY_TYPE, value: p.CKK_AES },
      { type: p.CKA_VALUE_LEN, value: step.bytes ?? 32 },
      { type: p.CKA_LABEL, value: step.label },
      { type: p.CKA_ID, value: step.emptyId === true ? Buffer.alloc(0) : idOf(step) },
      { type: p.CKA_TOKEN, value: true },
      { type: p.CKA_PRIVATE, value: true },
      { type: p.CKA_MODIFIABLE, value: step.modifiable ?? false },
      { type: p.CKA_SENSITIVE, value: step.sensitive ?? true },
      { type: p.CKA_EXTRACTABLE, value: step.extractable ?? false },
      { type: p.CKA_ENCRYPT, value: step.encrypt ?? true },
      { type: p.CKA_DECRYPT, value: step.decrypt ?? true },
      { type: p.CKA_WRAP, value: step.wrap ?? false },
      { type: p.CKA_UNWRAP, value: step.unwrap ?? false },
    ])
  }
  if (step.do === 'makeRsa') {
    const common = [
      { type: p.CKA_LABEL, value: step.label },
      { type: p.CKA_ID, value: randomBytes(16) },
      { type: p.CKA_TOKEN, value: true },
    ]
    lib.C_GenerateKeyPair(
      session,
      { mechanism: p.CKM_RSA_PKCS_KEY_PAIR_GEN },
      [
        ...common,
        { type: p.CKA_MODULUS_BITS, value: 2048 },
        { type: p.CKA_PUBLIC_EXPONENT, value: Buffer.from([1, 0, 1]) },
      ],
      common,
    )
  }
}
stdout.write(JSON.stringify({ pinCountLow: (flags & p.CKF_USER_PIN_COUNT_LOW) !== 0 }))
