// npm run test:extended: what needs more than Node and Debian. Each suite that cannot run here says so by name.
import { ensureAzureClient } from './azure_client.mjs'
import { ensureGoogleClient } from './google_client.mjs'
import { ensureModules, ensureNss } from './hsm_modules.mjs'
import { ensureLocalStack } from './localstack.mjs'
import { ensureOpenBao } from './openbao.mjs'
import { build, ensureAddon, ensureCompiler, ensurePackages, ensureSoftHsm, say } from './setup.mjs'

ensurePackages()
const needs = [
  ensureSoftHsm,
  ensureNss,
  ensureModules,
  ensureAddon,
  ensureCompiler,
  ensureOpenBao,
  ensureLocalStack,
  ensureGoogleClient,
  ensureAzureClient,
]
for (const ensure of needs) {
  const missing = ensure()
  if (missing !== undefined) say(`setup: ${missing}; the tests on it are skipped`)
}
build()
const { Tally } = await import('./checks.mjs')
const { runConformance } = await import('../test/conformance/run.mjs')
const tally = new Tally()
tally.add(await runConformance())
tally.vitest('tests on other PKCS#11 modules', ['--config', 'test/modules/vitest.config.ts'])
tally.vitest('tests on real KMS servers', ['--config', 'test/servers/vitest.config.ts'])
tally.vitest('outages of the HSM, 10 of each kind', ['--config', 'test/outages/vitest.config.ts'])
if (process.geteuid?.() === 0) tally.tool('the steps of the Dockerfile', '../scripts/image_steps.mjs', [])
else
  tally.add({
    passed: 0,
    failed: 0,
    skipped: ['the steps of the Dockerfile: only root can become another user'],
  })
tally.end(process.env.CI === 'true' ? 'on CI everything here can run' : undefined)
