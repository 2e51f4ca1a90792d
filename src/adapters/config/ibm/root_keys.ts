/** Which root keys does KP_CONFIG name, under which names do they stand in our file, and which of them seals? */
import { EMPTY_VALUE, type Mistake } from '../mistake.js'
import { readSection, type Said } from './section.js'

/** One root key. */
export interface RootKey {
  /** Under `keys` in our file. */
  readonly name: string
  /** Where it stands in IBM's. */
  readonly path: readonly string[]
  readonly said: readonly Said[]
}

export interface RootKeys {
  readonly entries: readonly RootKey[]
  /** The name of the one that seals unless the file says otherwise; `undefined` where there is none. */
  readonly newest: string | undefined
  readonly mistakes: readonly Mistake[]
  readonly notices: readonly Mistake[]
  /** Notices about {@link newest}, where the file does not choose. */
  readonly choices: readonly Mistake[]
}

const NAME = 'ibm'
const PATH = ['KP_CONFIG']
const NONE: RootKeys = { entries: [], newest: undefined, mistakes: [], notices: [], choices: [] }

/** @param content One mapping, or a list of them in which VERSION tells them apart; `undefined`: there is none. */
export function readRootKeys(content: unknown, file: string): RootKeys {
  if (content === undefined) return NONE
  if (content === null) return { ...NONE, mistakes: [{ path: PATH, text: EMPTY_VALUE }] }
  if (Array.isArray(content)) return readList(content, file)
  const { said, mistakes, notices } = readSection('KP_CONFIG', content, PATH, file)
  const entries = typeof content === 'object' ? [{ name: NAME, path: PATH, said }] : []
  return { ...NONE, entries, newest: entries[0]?.name, mistakes, notices }
}

function readList(content: readonly unknown[], file: string): RootKeys {
  if (content.length === 0) return { ...NONE, mistakes: [{ path: PATH, text: EMPTY_VALUE }] }
  const byVersion = new Map<number, RootKey>()
  const mistakes: Mistake[] = []
  const notices: Mistake[] = []
  for (const [index, item] of content.entries()) {
    const path = [...PATH, String(index)]
    const reading = readSection('KP_CONFIG', item, path, file)
    mistakes.push(...reading.mistakes)
    notices.push(...reading.notices)
    const version = versionOf(item)
    if (version !== undefined && !byVersion.has(version)) {
      byVersion.set(version, { name: `${NAME}-${version}`, path, said: reading.said })
    } else if (!reading.mistakes.some((mistake) => isAbout(mistake, path))) {
      const text =
        version === undefined ? 'is missing; in a list it tells the root keys apart' : 'occurs twice'
      mistakes.push({ path: [...path, 'VERSION'], text })
    }
  }
  const newest = byVersion.get(Math.max(...byVersion.keys()))?.name
  const text = `names several root keys: ${newest ?? ''}, of the highest VERSION, seals, the others only open; "primary" names another`
  return { entries: [...byVersion.values()], newest, mistakes, notices, choices: [{ path: PATH, text }] }
}

function versionOf(item: unknown): number | undefined {
  if (typeof item !== 'object' || item === null || !('VERSION' in item)) return undefined
  return Number.isSafeInteger(item.VERSION) ? Number(item.VERSION) : undefined
}

/** Whether it says already that the version of this item, or the item, is wrong. */
function isAbout({ path }: Mistake, item: readonly string[]): boolean {
  return path.length === item.length || path.at(-1) === 'VERSION'
}
