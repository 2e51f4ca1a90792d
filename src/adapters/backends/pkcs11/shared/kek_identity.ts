/** When are two KEKs the same, and how is an identity passed on? */
import type { KekIdentity } from './messages.js'

export function isSameKek(one: KekIdentity, other: KekIdentity): boolean {
  return (
    one.keyType === other.keyType &&
    Buffer.compare(one.ckaId, other.ckaId) === 0 &&
    Buffer.compare(one.checkValue, other.checkValue) === 0
  )
}

/** The same identity in memory that is no view of something larger: a clone takes all of it. */
export function copied({ keyType, ckaId, checkValue }: KekIdentity): KekIdentity {
  return { keyType, ckaId: Uint8Array.from(ckaId), checkValue: Uint8Array.from(checkValue) }
}
