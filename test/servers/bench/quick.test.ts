/** Does the benchmark run from end to end? Its figures are of no matter here; that each answer is right, and each count exact, is. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const root = resolve(import.meta.dirname, '../../..')

it('npm run bench -- --quick measures every scenario of the built program', async () => {
  const program = join(root, 'dist/main.js')
  expect(existsSync(program)).toBe(true)
  const words = [join(root, 'bench/run.mjs'), '--quick', '--program', program]
  const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: 280_000 })
  expect(stdout).toContain('Goals')
  const { scenarios, figures } = JSON.parse(readFileSync(join(root, '.measured/bench.json'), 'utf8')) as {
    readonly scenarios: Readonly<Record<string, { readonly skipped?: string }>>
    readonly figures: Readonly<Record<string, { readonly median: number }>>
  }
  expect(Object.keys(scenarios).sort()).toEqual(['hsm', 'memory', 'slow-kms', 'start', 'throughput'])
  expect(Object.values(scenarios).filter(({ skipped }) => skipped !== undefined)).toEqual([])
  // A difference of medians may be below 0 where few calls were made.
  for (const { median } of Object.values(figures)) expect(Number.isFinite(median)).toBe(true)
}, 300_000)
