// npm test: installs what it needs, then format, lint, types and every test that needs only Node and Debian.
import { existsSync } from 'node:fs'
import { ensureNss } from './hsm_modules.mjs'
import { ensureAddon, ensureCompiler, ensurePackages, ensurePyKmip, ensureSoftHsm, say } from './setup.mjs'

ensurePackages()
for (const missing of [ensureSoftHsm(), ensureNss(), ensurePyKmip(), ensureAddon(), ensureCompiler()]) {
  if (missing !== undefined) say(`setup: ${missing}; the tests that need it are skipped`)
}
const { Tally } = await import('./checks.mjs')
const tally = new Tally()
tally.tool('format', 'prettier/bin/prettier.cjs', ['--check', '--log-level=warn', '.'])
tally.tool('lint', 'eslint/bin/eslint.js', ['.'])
tally.tool('types', 'typescript/bin/tsc', ['-p', 'tsconfig.json', '--noEmit'])
tally.vitest('tests')
// CI is a machine that can run every one of them.
tally.end(
  process.env.CI === 'true' && existsSync('/usr/bin/apt-get') ? 'on CI everything here can run' : undefined,
)
