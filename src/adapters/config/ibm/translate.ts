/** What does a whole file of IBM's layout say in ours, and where does each setting of ours stand in it? */
import type { OurLayout } from '../layout.js'
import type { Mistake } from '../mistake.js'
import { keysOf, strangers } from './beside.js'
import { ibmKeyFor, ibmSections } from './keys.js'
import { readRootKeys, type RootKey } from './root_keys.js'
import { readSection, type Said } from './section.js'

type Root = Readonly<Record<string, unknown>>
type Path = readonly string[]

export function isIbmLayout(root: Root): boolean {
  return ibmSections.some((name) => Object.hasOwn(root, name))
}

/** @param file Absolute path of the file. */
export function translateIbm(root: Root, file: string): OurLayout {
  const server = readSection('SERVER_CONFIG', root['SERVER_CONFIG'], ['SERVER_CONFIG'], file)
  const logger = readSection('LOGGER', root['LOGGER'], ['LOGGER'], file)
  const rootKeys = readRootKeys(root['KP_CONFIG'], file)
  const { entries } = rootKeys
  const shared = server.said.filter(({ section }) => isOfKey(section))
  const keys = keysOf(root, Object.fromEntries(entries.map((entry) => [entry.name, keyOf(entry, shared)])))
  const primary = root['primary'] === undefined ? rootKeys.newest : root['primary']
  return {
    root: {
      ...sectionsOf([...server.said, ...logger.said]),
      ...(primary === undefined ? {} : { primary }),
      ...(keys.keys === undefined ? {} : { keys: keys.keys }),
    },
    mistakes: [
      ...strangers(root),
      ...server.mistakes,
      ...rootKeys.mistakes,
      ...logger.mistakes,
      ...keys.mistakes,
    ],
    notices: [
      ...(root['KP_CONFIG'] === undefined ? withoutRootKey(server.notices, shared) : server.notices),
      ...rootKeys.notices,
      ...(root['primary'] === undefined ? rootKeys.choices : []),
      ...logger.notices,
    ],
    placeOf: (path) => placeOf(path, root, entries),
  }
}

function sectionsOf(said: readonly Said[]): Root {
  // KMS v1 is all that the IBM plug-in speaks.
  const sections: Record<string, Record<string, unknown>> = { server: { kmsV1: true } }
  for (const { section, key, value } of said) {
    if (!isOfKey(section)) (sections[section] ??= {})[key] = value
  }
  return sections
}

/** Whether it is said of root keys, in whatever section of the file. */
function isOfKey(section: string): boolean {
  return section === 'key' || section === 'decoder'
}

/**
 * The key opens what the IBM plug-in has stored under it, too: whoever keeps its file wants that, although nothing
 * authenticates those values.
 *
 * @param shared What SERVER_CONFIG says of the service and of those values, for all root keys.
 */
function keyOf(entry: RootKey, shared: readonly Said[]): Root {
  const said = (wanted: string) =>
    Object.fromEntries(
      [...entry.said, ...shared]
        .filter(({ section }) => section === wanted)
        .map(({ key, value }) => [key, value] as const),
    )
  return {
    backend: 'ibm',
    ...said('key'),
    decode: [{ format: 'ibm-kmsplugin', ...said('decoder') }],
    allowUnauthenticated: true,
  }
}

/** Where nobody uses what SERVER_CONFIG says of the service, nothing else need be said of it. */
function withoutRootKey(notices: readonly Mistake[], shared: readonly Said[]): Mistake[] {
  const names = shared.map(({ section, key }) => ibmKeyFor(section, key)?.name ?? key)
  const text = 'has no effect without KP_CONFIG; remove the line'
  return [
    ...notices.filter(({ path }) => !names.includes(path.at(-1) ?? '')),
    ...names.map((name) => ({ path: ['SERVER_CONFIG', name], text })),
  ]
}

function placeOf(path: Path, root: Root, entries: readonly RootKey[]): Path | undefined {
  const [section = '', name = '', setting = ''] = path
  if (section === 'primary' || section === 'keys') {
    const entry = entries.find((candidate) => candidate.name === name)
    if (section === 'keys' && entry !== undefined) return placeOfKey(entry, setting)
    // Without any key there is a mistake of KP_CONFIG, which says why.
    return entries.length === 0 && root['keys'] === undefined ? undefined : path
  }
  const key = ibmKeyFor(section, name)
  return key === undefined ? path : [key.section, key.name]
}

function placeOfKey(entry: RootKey, setting: string): Path {
  const key = ibmKeyFor('key', setting)
  if (key === undefined) return entry.path
  return key.section === 'KP_CONFIG' ? [...entry.path, key.name] : [key.section, key.name]
}
