/** Which tokens do the settings name, each with its module and PIN, and which key on them? */
import type { KeyQuery, TokenQuery } from './shared/messages.js'
import type { Pkcs11Settings } from './settings.js'
import { parsePkcs11Uri, type Pkcs11Uri } from './uri.js'

/** One token that holds the KEK. */
export interface TokenPlace {
  readonly module: string
  readonly libraryParameters?: string
  readonly token: TokenQuery
  readonly pinPath: string
  readonly weight: number
}

type Place = NonNullable<Pkcs11Settings['tokens']>[number]

/**
 * In the order of the settings; one unless `tokens` lists them, each completed by what stands above, setting by setting. A
 * URI names its token as a whole.
 */
export function placesOf(settings: Pkcs11Settings): readonly [TokenPlace, ...TokenPlace[]] {
  const own = partsOf(settings)
  const [first = {}, ...others] = settings.tokens ?? []
  const tokenOf = (token: TokenQuery, isWhole: boolean): TokenQuery => {
    if (!isWhole) return { ...own.token, ...token }
    return Object.keys(token).length > 0 ? token : own.token
  }
  const completed = (place: Place): TokenPlace => {
    const parts = partsOf(place)
    const libraryParameters = place.libraryParameters ?? settings.libraryParameters
    return {
      module: parts.module ?? own.module ?? '',
      ...(libraryParameters === undefined ? {} : { libraryParameters }),
      token: tokenOf(parts.token, (place.uri ?? settings.uri) !== undefined),
      pinPath: parts.pinPath ?? own.pinPath ?? '',
      weight: place.weight ?? 1,
    }
  }
  return [completed(first), ...others.map(completed)]
}

export function keyQueryOf({ keyLabel, ckaId, uri }: Pkcs11Settings): KeyQuery {
  if (uri !== undefined && keyLabel === undefined && ckaId === undefined) return parsePkcs11Uri(uri).key
  return {
    ...(keyLabel === undefined ? {} : { label: keyLabel }),
    ...(ckaId === undefined ? {} : { ckaId: Buffer.from(ckaId, 'hex') }),
  }
}

function partsOf({ module, pin, uri, tokenLabel, tokenSerial, slot }: Place): Omit<Pkcs11Uri, 'key'> {
  const named: Omit<Pkcs11Uri, 'key'> = uri === undefined ? { token: {} } : parsePkcs11Uri(uri)
  const token = {
    ...(tokenLabel === undefined ? {} : { label: tokenLabel }),
    ...(tokenSerial === undefined ? {} : { serial: tokenSerial }),
    ...(slot === undefined ? {} : { slot }),
  }
  const path = module ?? named.module
  const pinPath = pin?.slice('file:'.length) ?? named.pinPath
  return {
    token: uri === undefined ? token : named.token,
    ...(path === undefined ? {} : { module: path }),
    ...(pinPath === undefined ? {} : { pinPath }),
  }
}
