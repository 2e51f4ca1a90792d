// How are test/outages/ run by hand and their figures shown? They are TypeScript, which Node 20 does not run: vitest does.
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureAddon, ensureCompiler, ensurePackages, ensureSoftHsm, fail, ROOT } from './setup.mjs'

/**
 * Runs `test/outages/<name>.test.ts` and ends the process where that fails.
 *
 * @param options Command-line options, and the environment variables that carry them to the test.
 * @returns The folder, empty before, with the JSON files that it wrote.
 */
export function measure(name, options) {
  const { values } = parseArgs({
    options: Object.fromEntries(Object.keys(options).map((option) => [option, { type: 'string' }])),
  })
  ensurePackages()
  for (const missing of [ensureSoftHsm(), ensureAddon(), ensureCompiler()]) {
    if (missing !== undefined) fail(missing)
  }
  const folder = join(ROOT, '.measured', name)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const env = { ...process.env, OUTAGE_FOLDER: folder }
  for (const [option, value] of Object.entries(values)) env[options[option]] = value
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
  const words = ['run', '--config', 'test/outages/vitest.config.ts', `test/outages/${name}.test.ts`]
  const { status } = spawnSync(process.execPath, [vitest, ...words], { cwd: ROOT, env, stdio: 'inherit' })
  if (status !== 0) fail(`${name}: a test failed`)
  return folder
}

/** The smallest value that this share of them does not exceed; 1 is the greatest. */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
}

/** In the form of Markdown. */
export function table(head, rows) {
  const lines = [head, ...rows].map((row) => row.map(String))
  const widths = head.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  const show = (line) => `| ${line.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`
  const [first, ...others] = lines
  for (const line of [first, widths.map((width) => '-'.repeat(width)), ...others]) console.log(show(line))
}
