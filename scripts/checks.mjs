// Runs checks one after the other and adds them up: the last line of every suite says how many passed.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ROOT, run, say } from './setup.mjs'

const BIN = join(ROOT, 'node_modules')

/** The vectors of others are no part of the project: where nobody laid them out, no machine can run these tests. */
const NEEDS_VECTORS = 'KMSPLUGIN_VECTORS'

/** Nor are the programs that are replaced, which Go's module proxy may not have: test/servers/peers/programs.ts. */
const NEEDS_PROGRAM = '_BIN may name it'

const cannotRunAnywhere = (line) => [NEEDS_VECTORS, NEEDS_PROGRAM].some((need) => line.includes(need))

export class Tally {
  passed = 0
  failed = 0
  /** `name: reason` */
  skipped = []

  /** A tool that passes or fails as a whole. */
  tool(name, module, args) {
    say(`\n== ${name}`)
    const ok = run(process.execPath, [join(BIN, module), ...args], { show: true })
    if (ok) this.passed += 1
    else this.failed += 1
    say(`${name}: ${ok ? 'ok' : 'FAILED'}`)
  }

  /** Every test counts. What a test name says behind "skipped:" is the reason. */
  vitest(name, args = []) {
    say(`\n== ${name}`)
    const folder = mkdtempSync(join(tmpdir(), 'kmsplugin-results-'))
    try {
      const report = join(folder, 'report.json')
      const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
      const { status } = spawnSync(
        process.execPath,
        [join(BIN, 'vitest/vitest.mjs'), 'run', ...reporters, ...args],
        {
          cwd: ROOT,
          stdio: 'inherit',
        },
      )
      const results = readReport(report)
      this.passed += results.passed
      this.failed += results.failed
      this.skipped.push(...results.skipped)
      // A file that does not load, or an error outside every test, fails no test.
      if (status !== 0 && results.failed === 0) this.failed += 1
      if (results.passed === 0) this.failed += 1
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }

  /** Adds what another runner counted. */
  add({ passed, failed, skipped }) {
    this.passed += passed
    this.failed += failed
    this.skipped.push(...skipped)
  }

  /**
   * Lists what was skipped, ends with the summed line, and ends the process.
   *
   * @param mayNotSkip Says, where a skip is a failure, why.
   */
  end(mayNotSkip) {
    if (this.skipped.length > 0) say('\nskipped:')
    for (const line of this.skipped) say(`  ${line}`)
    const forbidden = mayNotSkip === undefined ? [] : this.skipped.filter((line) => !cannotRunAnywhere(line))
    if (forbidden.length > 0) {
      say(`\n${mayNotSkip}: ${forbidden.length} skips count as failures`)
      this.failed += forbidden.length
      this.skipped = this.skipped.filter((line) => !forbidden.includes(line))
    }
    say(`\n${this.passed} passed, ${this.failed} failed, ${this.skipped.length} skipped`)
    process.exit(this.failed === 0 ? 0 : 1)
  }
}

function readReport(file) {
  const results = { passed: 0, failed: 0, skipped: [] }
  let report
  try {
    report = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return { ...results, failed: 1 }
  }
  for (const { assertionResults, status, name } of report.testResults) {
    if (status === 'failed' && assertionResults.every((test) => test.status !== 'failed')) results.failed += 1
    for (const test of assertionResults) {
      if (test.status === 'passed') results.passed += 1
      else if (test.status === 'failed') results.failed += 1
      else results.skipped.push(`${name.slice(ROOT.length)}: ${test.fullName}`)
    }
  }
  return results
}
