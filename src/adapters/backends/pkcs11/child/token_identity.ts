/** Which token is this, by whatever name the settings found it? What it refused is remembered under this. */
import type { Handle, TokenInfo } from './pkcs11js.js'
import { unpadded } from './slots.js'
import { ulong } from './token.js'

/** Some modules have no serial and say so in zeros. */
const NO_SERIAL = /^[0 ]*$/

/** Whether its serial number tells this token from others. */
export function hasSerial({ serialNumber }: TokenInfo): boolean {
  return !NO_SERIAL.test(unpadded(serialNumber))
}

/**
 * What the token says of itself. The label too, since some modules give all their tokens one serial. The module's path
 * and the slot only where there is no serial: an upgrade changes the one, and a restart may change the other.
 */
export function tokenIdentity(info: TokenInfo, slot: Handle, module: string): string {
  const { manufacturerID, model, serialNumber, label } = info
  const told = [manufacturerID, model, serialNumber, label].map(unpadded)
  return JSON.stringify(hasSerial(info) ? told : [...told, module, ulong(slot)])
}
