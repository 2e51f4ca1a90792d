/** What may stand beside IBM's sections: `primary` and `keys` as in our own layout, so that the file can name an HSM. */
import type { Mistake } from '../mistake.js'
import { ibmKeyFor, ibmSections } from './keys.js'
import { strayKey } from './section.js'
import { sectionNames } from '../settings.js'

type Root = Readonly<Record<string, unknown>>

const OURS: readonly string[] = ['primary', 'keys']

/** One mistake for each thing that has no place in the file. */
export function strangers(root: Root): Mistake[] {
  const known: readonly string[] = [...ibmSections, ...OURS]
  return Object.entries(root)
    .filter(([name]) => !known.includes(name))
    .flatMap(([name, content]) => {
      const isOurs = (sectionNames as readonly string[]).includes(name)
      return isOurs ? sectionMistakes(name, content) : [{ path: [name], text: strayKey(name, known) }]
    })
}

/** A section of our own layout: one mistake for each of its settings. */
function sectionMistakes(section: string, content: unknown): Mistake[] {
  const settings = typeof content === 'object' && content !== null ? Object.keys(content) : []
  if (settings.length === 0) return [{ path: [section], text: elsewhere }]
  return settings.map((setting) => {
    const key = ibmKeyFor(section, setting)
    const text = key === undefined ? elsewhere : `must be ${key.section}.${key.name} in the IBM layout`
    return { path: [section, setting], text }
  })
}

const elsewhere =
  'has no place in the IBM layout; to set it, write the whole file in our own: without it, "kmsplugin config print" prints that'

/**
 * `keys` of our file: those of the file and those of KP_CONFIG.
 *
 * @param rootKeys The entries of KP_CONFIG by name.
 */
export function keysOf(root: Root, rootKeys: Root): { keys: unknown; mistakes: readonly Mistake[] } {
  const { keys, KP_CONFIG: rootKey } = root
  if (keys === undefined) {
    const text = 'is missing; write it, or name a key as in our own layout under "keys" and "primary"'
    const mistakes = rootKey === undefined ? [{ path: ['KP_CONFIG'], text }] : []
    return { keys: Object.keys(rootKeys).length === 0 ? undefined : rootKeys, mistakes }
  }
  if (typeof keys !== 'object' || keys === null || Array.isArray(keys)) return { keys, mistakes: [] }
  const mistakes = Object.keys(keys)
    .filter((name) => Object.hasOwn(rootKeys, name))
    .map((name) => ({ path: ['keys', name], text: 'is the name of a root key of KP_CONFIG; choose another' }))
  return { keys: Object.fromEntries([...Object.entries(rootKeys), ...Object.entries(keys)]), mistakes }
}
