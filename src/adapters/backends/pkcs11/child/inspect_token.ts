/** What should an operator know of a token beside its keys? */
import type { Inspection } from '../shared/messages.js'
import { unpadded } from './slots.js'
import { hasSerial, tokenIdentity } from './token_identity.js'
import type { Token } from './token.js'

export function inspectToken(token: Token): Omit<Inspection, 'evidence'> {
  const info = token.info()
  const { manufacturerID, model, serialNumber, flags } = info
  const names = [manufacturerID, model].map(unpadded).filter((name) => name !== '')
  const serial = unpadded(serialNumber)
  const { p11 } = token
  const warnings: readonly (readonly [flag: number, text: string])[] = [
    [
      p11.CKF_SO_PIN_LOCKED,
      'the PIN of its security officer is locked: nobody can unlock the user PIN any more',
    ],
    [p11.CKF_USER_PIN_COUNT_LOW, 'a login with a wrong PIN has failed since the last good one'],
    [p11.CKF_USER_PIN_TO_BE_CHANGED, 'its user PIN has to be changed before it lets keys be used'],
  ]
  return {
    token: `${names.join(' ')}${serial === '' ? '' : `, serial ${serial}`}`,
    ...(hasSerial(info) ? { tokenIdentity: tokenIdentity(info, token.slot, '') } : {}),
    tokenWarnings: warnings.filter(([flag]) => (flags & flag) !== 0).map(([, text]) => text),
  }
}
