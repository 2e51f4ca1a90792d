// The official client of Azure Key Vault for tests of the fake: installed once outside the tree, or what is missing.
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run, say } from './setup.mjs'

const PACKAGES = fileURLToPath(new URL('../test/servers/azure/client/', import.meta.url))
const LISTS = ['package.json', 'package-lock.json']

/** Where the packages are, once installed; another folder whenever the lockfile changes. */
export function azureClientFolder() {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  const version = createHash('sha256')
    .update(readFileSync(join(PACKAGES, 'package-lock.json')))
    .digest('hex')
  return join(cache, 'kmsplugin', `azure-client-${version.slice(0, 16)}`)
}

/** What a test that needs the client says when it is skipped; `undefined`: the client is there. */
export function azureClientMissing() {
  const isHere = existsSync(azureClientFolder())
  return isHere ? undefined : 'the official client of Azure is not here: npm run test:extended installs it'
}

/** Installs the client unless it is there. Answers what is missing, or `undefined`. */
export function ensureAzureClient() {
  const folder = azureClientFolder()
  if (existsSync(folder)) return undefined
  say('setup: npm ci of the official client of Azure (58 MB, once)')
  mkdirSync(dirname(folder), { recursive: true })
  // Beside its place, so that the last step is a rename: two runs at once do not see half of it.
  const draft = mkdtempSync(`${folder}.`)
  try {
    for (const name of LISTS) copyFileSync(join(PACKAGES, name), join(draft, name))
    const quiet = ['--ignore-scripts', '--no-audit', '--no-fund']
    if (!run('npm', ['ci', '--prefix', draft, ...quiet])) {
      return 'the official client of Azure cannot be had here; the messages of npm above say why'
    }
    if (!existsSync(folder)) renameSync(draft, folder)
    return undefined
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}
