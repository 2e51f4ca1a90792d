/**
 * Sets up tokens as softhsm2-util does not, in a process of its own: a process can have a module only once.
 *
 * Usage: node token_setup.mjs '{"module":…,"soPin":…,"initToken":…}', with what the module reads from its environment
 * set. `initToken` is the label of a new token in a free slot, which gets no user PIN; `initPin` is a label, and `pin`
 * the user PIN that its token gets. Prints all slots with a token, as JSON.
 */
import { argv, stdout } from 'node:process'
import p from 'pkcs11js'

const { module, soPin, initToken, initPin, pin } = JSON.parse(argv[2])
const lib = new p.PKCS11()
lib.load(module)
lib.C_Initialize({ flags: p.CKF_OS_LOCKING_OK })
const infoOf = (slot) => lib.C_GetTokenInfo(slot)
const isFree = (slot) => (infoOf(slot).flags & p.CKF_TOKEN_INITIALIZED) === 0
const labelOf = (slot) => infoOf(slot).label.replace(/[\0 ]+$/, '')

if (initToken !== undefined) lib.C_InitToken(lib.C_GetSlotList(true).find(isFree), soPin, initToken)
if (initPin !== undefined) {
  const slot = lib.C_GetSlotList(true).find((each) => labelOf(each) === initPin)
  const session = lib.C_OpenSession(slot, p.CKF_SERIAL_SESSION | p.CKF_RW_SESSION)
  lib.C_Login(session, p.CKU_SO, soPin)
  lib.C_InitPIN(session, pin)
  lib.C_CloseSession(session)
}
stdout.write(
  JSON.stringify(
    lib.C_GetSlotList(true).map((slot) => ({
      slot: slot.readUInt32LE(),
      label: labelOf(slot),
      serial: infoOf(slot).serialNumber.trimEnd(),
      isFree: isFree(slot),
    })),
  ),
)
