/** Which versions of KMIP do we speak? */
export interface KmipVersion {
  readonly major: number
  readonly minor: number
}

const version = (major: number, minor: number): KmipVersion => ({ major, minor })

/**
 * Best first. 1.4 is spoken most widely of those whose Encrypt takes associated data and gives a tag of its own; 2.x
 * comes behind it, since its attributes are written otherwise and fewer servers have been tried with it.
 */
export const ourVersions: readonly KmipVersion[] = [
  version(1, 4),
  version(2, 1),
  version(2, 0),
  version(1, 3),
  version(1, 2),
]

/** Without Encrypt and Decrypt: named to the server, so that a message can say which it has. */
export const tooOld: readonly KmipVersion[] = [version(1, 1), version(1, 0)]

/** Every server since 1.1 takes a DiscoverVersions in it. */
export const DISCOVERY: KmipVersion = version(1, 1)

/** Associated data and tags have fields of their own since this version. */
export const AEAD_FIELDS = [1, 4] as const

export function sameVersion(a: KmipVersion, b: KmipVersion): boolean {
  return a.major === b.major && a.minor === b.minor
}

export function isAtLeast(
  { major, minor }: KmipVersion,
  [atMajor, atMinor]: readonly [number, number],
): boolean {
  return major > atMajor || (major === atMajor && minor >= atMinor)
}

export function versionText({ major, minor }: KmipVersion): string {
  return `${major}.${minor}`
}
