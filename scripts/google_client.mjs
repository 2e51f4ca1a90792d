// Google's own client of Cloud KMS, which drives our fake of it: 119 packages, so it is no dependency of the project.
// Fetched once into the user's cache, exactly as its lockfile says, or what this machine lacks for it.
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run, say } from './setup.mjs'

const SOURCES = fileURLToPath(new URL('../test/servers/gcp/', import.meta.url))
const FILES = ['package.json', 'package-lock.json']

/** The folder with package.json and node_modules, once fetched; another one whenever the lockfile changes. */
export function googleClientPath() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const version = createHash('sha256')
    .update(readFileSync(join(SOURCES, 'package-lock.json')))
    .digest('hex')
  return join(cache, 'kmsplugin', `google-client-${version.slice(0, 16)}`)
}

/** What a test that needs the client says when it is skipped; `undefined`: the client is there. */
export function googleClientMissing() {
  return existsSync(googleClientPath())
    ? undefined
    : "Google's client is not here: npm run test:extended fetches it"
}

/** Fetches the client unless it is there. Answers what is missing, or `undefined`. */
export function ensureGoogleClient() {
  const path = googleClientPath()
  if (existsSync(path)) return undefined
  say("setup: npm ci of Google's client of Cloud KMS (41 MB, once, no install scripts)")
  mkdirSync(dirname(path), { recursive: true })
  // Beside its place, so that the last step is a rename: two runs at once do not see half of it.
  const draft = mkdtempSync(`${path}.`)
  try {
    for (const file of FILES) copyFileSync(join(SOURCES, file), join(draft, file))
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund']
    if (!run('npm', ['ci', '--prefix', draft, ...quiet])) {
      return "Google's client of Cloud KMS cannot be had here; the messages of npm above say why"
    }
    if (!existsSync(path)) renameSync(draft, path)
    return undefined
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}
