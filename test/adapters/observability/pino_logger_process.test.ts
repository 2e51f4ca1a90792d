import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { compiled } from '../../support/compiled.js'

let folder: string
let program: string
let child: ChildProcess | undefined
let pipes = 0

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kmsplugin-log-'))
  program = compiled('test/adapters/observability/log_child.mjs', folder)
})
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => {
  child?.kill('SIGKILL')
})

/** What the child says once it has logged everything. */
interface Report {
  readonly dropped: number
  readonly rssGrowth: number
}

/** A pipe with a name is a pipe like any other, and both of its ends can be held here. */
function makePipe(): { reader: number; writer: number } {
  const path = join(folder, `pipe-${pipes++}`)
  execFileSync('mkfifo', [path])
  return { reader: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), writer: openSync(path, 'w') }
}

/** Starts the child with `stderr` as its log and waits until it has logged `lines` lines. */
async function logged(
  stderr: number | 'pipe',
  lines: number,
  onStart?: (child: ChildProcess) => void,
): Promise<Report> {
  // A small nursery: else V8 lets garbage grow to a size that hides what is kept.
  const args = ['--max-semi-space-size=1', program, String(lines)]
  const started = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', stderr] })
  child = started
  onStart?.(started)
  const [line] = (await once(createInterface(started.stdout!), 'line')) as [string]
  return JSON.parse(line) as Report
}

/** Lets the child flush and exit; its exit code. */
async function finish(): Promise<unknown> {
  const exited = once(child!, 'exit')
  child!.stdin!.write('go\n')
  return (await exited)[0]
}

describe('a reader that is gone', () => {
  test('a closed pipe costs the lines and nothing else', async () => {
    const { reader, writer } = makePipe()
    closeSync(reader)
    const { dropped } = await logged(writer, 1_000)
    closeSync(writer)
    expect(dropped).toBeGreaterThanOrEqual(999)
    expect(await finish()).toBe(0)
  })

  test('a closed socket costs the lines and nothing else', async () => {
    const { dropped } = await logged('pipe', 1_000, (started) => started.stderr!.destroy())
    expect(dropped).toBeGreaterThanOrEqual(1)
    expect(await finish()).toBe(0)
  })
})

describe('a reader that is stuck', () => {
  const LINES = 300_000 // about 85 MB

  test.each(['pipe', 'socket'])(
    'a %s that nobody reads neither blocks, nor fills the memory, nor delays the exit',
    {
      timeout: 60_000,
    },
    async (kind) => {
      const ends = kind === 'pipe' ? makePipe() : undefined
      const { dropped, rssGrowth } = await logged(ends?.writer ?? 'pipe', LINES, (started) =>
        started.stderr?.pause(),
      )
      expect(dropped).toBeGreaterThan(LINES / 2)
      expect(rssGrowth).toBeLessThan(64 * 1_048_576)
      expect(await finish()).toBe(0)
      if (ends !== undefined) [ends.reader, ends.writer].forEach(closeSync)
    },
  )

  test('gets whole lines in order when it comes back, and the flush waits for it', async () => {
    const { reader, writer } = makePipe()
    const { dropped } = await logged(writer, 2_000)
    closeSync(writer)
    expect(dropped).toBe(0)
    // The pipe holds 64 KiB of these 500 KB; what is left waits in the process.
    const all = text(new Socket({ fd: reader }))
    expect(await finish()).toBe(0)
    const lines = (await all).trimEnd().split('\n')
    const entries = lines.map((line) => JSON.parse(line) as { msg: string; n?: number })
    expect(entries.slice(0, -1).map(({ n }) => n)).toEqual([...Array(2_000).keys()])
    expect(entries.at(-1)?.msg).toBe('the last line')
  })
})
