// npm run test:extended: what needs more than Node and Debian. Each suite that cannot run here says so by name.
import { build, ensureAddon, ensurePackages, ensureSoftHsm } from './setup.mjs'

ensurePackages()
ensureSoftHsm()
ensureAddon()
build()
const { Tally } = await import('./checks.mjs')
const { runConformance } = await import('../test/conformance/run.mjs')
const tally = new Tally()
tally.add(await runConformance())
if (process.geteuid?.() === 0) tally.tool('the steps of the Dockerfile', '../scripts/image_steps.mjs', [])
else
  tally.add({
    passed: 0,
    failed: 0,
    skipped: ['the steps of the Dockerfile: only root can become another user'],
  })
tally.end(process.env.CI === 'true' ? 'on CI everything here can run' : undefined)
