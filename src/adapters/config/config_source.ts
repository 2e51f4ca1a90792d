/** The config file as the rest of the program sees it: load, print, explain. Knows no backend. */
import { resolve } from 'node:path'
import * as z from 'zod'
import type { Config, ConfigProblem, ConfigResult, ConfigSource } from '../../ports/config.js'
import type { FormatSchemas } from './decode.js'
import { unknownKey } from './hints.js'
import { fileSchema } from './json_schema.js'
import { readKeys, type BackendSchemas } from './keys.js'
import { inOurLayout, type OurLayout } from './layout.js'
import { shown, type Mistake } from './mistake.js'
import { parseYaml, type ParsedYaml } from './parse_yaml.js'
import { printConfig } from './print.js'
import { readProcessSettings } from './process_settings.js'
import { readConfigFile } from './read_file.js'
import { brokenRules } from './rules.js'
import { sectionNames } from './settings.js'

// Every schema reads a few values in the life of the process: it is not worth a function made for it from text.
z.config({ jitless: true })

/**
 * @param backends By name, what loads the zod schema of that backend's settings. Each is a strict object with
 *   `backend: z.literal(<name>)`, has a `.describe()` on every setting, and reads what it returned back to the
 *   same, so that a printed config loads. Only the backends that a file names are loaded for it.
 * @param formats By name, what may stand in `decode`.
 */
export function createConfigSource(backends: BackendSchemas, formats: FormatSchemas = {}): ConfigSource {
  return {
    load: async (file) => {
      const read = await readConfigFile(file)
      if ('problem' in read) return { problems: [{ path: '', text: read.problem }] }
      const yaml = parseYaml(read.text)
      if ('problems' in yaml) return { problems: yaml.problems }
      const { parsed } = yaml
      const layout = inOurLayout(parsed.root, resolve(file))
      const isGiven = (place: Path) => parsed.lineOf(place) !== undefined
      return validate(layout, isGiven, (mistakes) => located(mistakes, parsed), backends, formats)
    },
    read: async (root, placeOf) => {
      const layout: OurLayout = { root, mistakes: [], notices: [], placeOf: (path) => path }
      const named = (mistakes: readonly Mistake[]) => uniqueProblems(mistakes.map(problemAt(placeOf)))
      return validate(layout, (path) => isIn(root, path), named, backends, formats)
    },
    print: printConfig,
    schema: async () => {
      const loaded = Object.entries(backends).map(async ([name, load]) => [name, await load()] as const)
      return fileSchema(Object.fromEntries(await Promise.all(loaded)), formats)
    },
  }
}

type Path = readonly string[]

/**
 * @param isGiven Whether something stands at a place of the file.
 * @param told The mistakes as the operator reads them.
 */
async function validate(
  { root, mistakes: untranslated, notices, placeOf }: OurLayout,
  isGiven: (place: Path) => boolean,
  told: (mistakes: readonly Mistake[]) => readonly ConfigProblem[],
  backends: BackendSchemas,
  formats: FormatSchemas,
): Promise<ConfigResult> {
  const { config: settings, mistakes } = readProcessSettings(root)
  const { primary, keys, mistakes: keyMistakes } = await readKeys(root, backends, formats)
  const single = [...unknownSections(root), ...mistakes, ...keyMistakes]
  const isSaid = (path: Path): boolean => {
    const place = placeOf(path)
    return place !== undefined && isGiven(place)
  }
  const found = [...single, ...brokenRules(settings, single, isSaid)]
  if (found.length === 0 && untranslated.length === 0) {
    const config: Config = { ...settings, primary, keys }
    return { config, problems: [], notices: told(notices) }
  }
  const placed = found.flatMap(({ path, text }) => {
    const place = placeOf(path)
    return place === undefined || isCovered(place, untranslated) ? [] : [{ path: place, text }]
  })
  return { problems: told([...untranslated, ...placed]) }
}

/** What could not be translated is missing in the translation: that need not be said as well. */
function isCovered(place: readonly string[], said: readonly Mistake[]): boolean {
  return said.some(({ path }) => path.every((name, index) => name === place[index]))
}

function unknownSections(root: Readonly<Record<string, unknown>>): Mistake[] {
  const known = [...sectionNames, 'primary', 'keys']
  return Object.keys(root)
    .filter((name) => !known.includes(name))
    .map((name) => ({ path: [name], text: unknownKey(name, known) }))
}

const LAST = Number.MAX_SAFE_INTEGER

/** In the order of the file, each once; what has no line comes last. */
function located(mistakes: readonly Mistake[], parsed: ParsedYaml): readonly ConfigProblem[] {
  const problems = mistakes.map(({ path, text }) => {
    const line = parsed.lineOf(path)
    return { path: path.map(shown).join('.'), ...(line === undefined ? {} : { line }), text }
  })
  return uniqueProblems(problems).toSorted((a, b) => (a.line ?? LAST) - (b.line ?? LAST))
}

function problemAt(placeOf: (path: Path) => string | undefined): (mistake: Mistake) => ConfigProblem {
  return ({ path, text }) => ({ path: placeOf(path) ?? path.map(shown).join('.'), text })
}

function uniqueProblems(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
  return [...new Map(problems.map((problem) => [`${problem.path} ${problem.text}`, problem])).values()]
}

function isIn(root: unknown, path: Path): boolean {
  let here = root
  for (const name of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, name)) return false
    here = (here as Readonly<Record<string, unknown>>)[name]
  }
  return true
}
