/** What is a token or a key called in messages? */
import type { KeyQuery, TokenQuery } from './messages.js'

/** As in `token "k8s"` or `token "k8s", serial 1234, slot 5`; also what tells tokens of one module apart. */
export function tokenName({ label, serial, manufacturer, model, slot }: TokenQuery): string {
  const parts = [
    label === undefined ? '' : `"${label}"`,
    serial === undefined ? '' : `serial ${serial}`,
    manufacturer === undefined ? '' : `manufacturer ${manufacturer}`,
    model === undefined ? '' : `model ${model}`,
    slot === undefined ? '' : `slot ${slot}`,
  ]
  return `token ${parts.filter((part) => part !== '').join(', ')}`
}

/** A token among several, for metrics: its place in the list and what names it, as in `0:k8s` or `1:1234`. */
export function placeName(at: number, { label, serial, slot, manufacturer, model }: TokenQuery): string {
  return `${at}:${label ?? serial ?? slot ?? model ?? manufacturer ?? ''}`
}

/** As in `"kek-1"` or `"kek-1" with CKA_ID 0f3a`. */
export function keyName({ label, ckaId }: KeyQuery): string {
  const named = label === undefined ? '' : `"${label}"`
  const numbered = ckaId === undefined ? '' : `with CKA_ID ${Buffer.from(ckaId).toString('hex')}`
  return [named, numbered].filter((part) => part !== '').join(' ')
}

/** What a token says of itself, fit for one line of a log. */
export function printable(text: string): string {
  return text.replace(/\p{C}/gu, '?')
}
