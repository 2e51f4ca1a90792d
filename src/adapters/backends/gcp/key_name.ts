/** How does Google name a key and its versions? */

/** `projects/P/locations/L/keyRings/R/cryptoKeys/K`; old project ids have a domain and a colon before them. */
const KEY =
  /^projects\/[a-z0-9][a-z0-9.:-]{0,127}\/locations\/[a-z0-9-]{1,63}\/keyRings\/[A-Za-z0-9_-]{1,63}\/cryptoKeys\/[A-Za-z0-9_-]{1,63}$/

const VERSION = /^\/cryptoKeyVersions\/([1-9][0-9]{0,9})$/

/** What fits the four bytes that a wrapped DEK has for it. */
export const MAX_VERSION = 0xffff_ffff

/** What is wrong with a key name, and what to write; `undefined` for one that can be asked for. */
export function keyNameMistake(name: string): string | undefined {
  if (KEY.test(name)) return undefined
  const version = name.indexOf('/cryptoKeyVersions')
  if (version > 0 && KEY.test(name.slice(0, version))) {
    return 'must end with the name of the key: leave out /cryptoKeyVersions/…, the primary version is used'
  }
  return 'must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY'
}

export function versionName(key: string, version: number): string {
  return `${key}/cryptoKeyVersions/${version}`
}

/** The number of a version of this very key; `undefined` for any other name. */
export function versionNumber(key: string, name: string | undefined): number | undefined {
  if (name?.startsWith(key) !== true) return undefined
  const digits = VERSION.exec(name.slice(key.length))?.[1]
  const number = Number(digits)
  return digits === undefined || number > MAX_VERSION ? undefined : number
}

/** Behind the service's address; begins with `/v1/`. */
export function pathOf(key: string): string {
  return `/v1/${key.split('/').map(encodeURIComponent).join('/')}`
}
