/** Which key of the token is meant by what another program stored? Its size and its uses are its maker's business. */
import type { KeyKind, KeyQuery, NativeKeyQuery } from '../shared/messages.js'
import { keyName } from '../shared/token_name.js'
import { HsmError } from './cryptoki.js'
import { findHandle, kindsOf, refuseLoggedOut } from './kek.js'
import type { Handle } from './pkcs11js.js'
import type { Token } from './token.js'

/**
 * The one key of the settings, if it is of this kind and the one that `wanted` names.
 *
 * @throws {HsmError} as `findHandle`; `ERR_KEY_UNKNOWN` when it is another key.
 */
export function findNamedKey(
  token: Token,
  session: Handle,
  query: KeyQuery,
  kind: KeyKind,
  wanted: NativeKeyQuery,
): Handle {
  const { p11 } = token
  const where = `the key ${keyName(query)} on ${token.name}`
  const isOther =
    (query.kind ?? kind) !== kind || hasOnly(token, session, query, kind === 'AES' ? 'RSA' : 'AES')
  if (isOther) throw another(`${where} is no ${kind} key, and this value was made by one`)
  const handle = findHandle(token, session, { ...query, kind })
  const { ckaId, label } = wanted
  if (ckaId !== undefined && token.attribute(session, handle, p11.CKA_ID)?.equals(ckaId) !== true) {
    throw another(`${where} has another CKA_ID than the key that made this value`)
  }
  if (label !== undefined && token.attribute(session, handle, p11.CKA_LABEL)?.toString('utf8') !== label) {
    throw another(`${where} has another label than the key that made this value`)
  }
  return handle
}

/**
 * The one secret key of the token that is called so, such as the key of an HMAC. No AES key: two uses of one key are one
 * too many.
 *
 * @throws {HsmError} `ERR_KEY_NOT_FOUND` or `ERR_KEY_UNUSABLE` when there is none, or several.
 */
export function findSecret(token: Token, session: Handle, named: NativeKeyQuery): Handle {
  const { p11 } = token
  const { label, ckaId } = named
  const search = (): Handle[] =>
    [p11.CKK_GENERIC_SECRET, p11.CKK_SHA256_HMAC].flatMap((keyType) =>
      token.find(session, [
        { type: p11.CKA_CLASS, value: p11.CKO_SECRET_KEY },
        { type: p11.CKA_KEY_TYPE, value: keyType },
        ...(label === undefined ? [] : [{ type: p11.CKA_LABEL, value: label }]),
        ...(ckaId === undefined ? [] : [{ type: p11.CKA_ID, value: Buffer.from(ckaId) }]),
      ]),
    )
  const [handle, second] = search()
  const where = `the HMAC key ${keyName(named)} on ${token.name}`
  if (second !== undefined) throw new HsmError('ERR_KEY_UNUSABLE', `there are several of ${where}`)
  if (handle !== undefined) return handle
  refuseLoggedOut(token, session)
  // A token that is gone shows no keys either, and that is an outage.
  token.info()
  // Another thread may have logged in since the search.
  if (search().length > 0) {
    throw new HsmError('ERR_BACKEND_UNAVAILABLE', 'the login came during the search', 'reopen')
  }
  throw new HsmError('ERR_KEY_NOT_FOUND', `there is not ${where}; check macKeyLabel and macKeyId`)
}

/** Whether the settings name keys of this kind and none of the other one. */
function hasOnly(token: Token, session: Handle, query: KeyQuery, kind: KeyKind): boolean {
  const kinds = kindsOf(token, session, query)
  return kinds.length > 0 && kinds.every((each) => each === kind)
}

function another(text: string): HsmError {
  return new HsmError('ERR_KEY_UNKNOWN', text)
}
