/** However the benchmark ends, nothing of it is left. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { program as built, Sandbox } from '../support/plugin.js'

const BENCH = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url))

let sandbox: Sandbox
let dist: string
let temporary: string
let bench: ChildProcessByStdio<null, null, Readable> | undefined

beforeEach(() => {
  sandbox = new Sandbox()
  dist = sandbox.path('installed', 'dist')
  cpSync(dirname(built), dist, { recursive: true })
  cpSync(resolve(dirname(built), '../package.json'), sandbox.path('installed', 'package.json'))
  temporary = sandbox.path('tmp')
  mkdirSync(temporary)
})

afterEach(async () => {
  // It puts the cache back before it ends.
  if (bench?.kill('SIGTERM')) await once(bench, 'exit')
  await sandbox.close()
})

function start(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const args = [BENCH, '--quick', '--program', `${dist}/main.js`, ...words]
  bench = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env, TMPDIR: temporary },
  })
  return bench
}

/** Returns once all that warm calls need is being started. */
async function startWarmCalls(env?: Readonly<Record<string, string>>) {
  const started = start(['--only', 'throughput', '--client', 'node'], env)
  let said = ''
  for await (const text of started.stderr.setEncoding('utf8')) {
    said += text as string
    if (said.includes('round 1 of 1')) return started
  }
  throw new Error(said)
}

const cache = () => readFileSync(`${dist}/kmsplugin.cache`)

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('%s ends it with all that it started', async (signal) => {
  const before = cache()
  const started = await startWarmCalls()
  const children = childrenOf(started.pid!)
  expect(children.length).toBeGreaterThan(2)
  started.kill(signal)
  expect(await once(started, 'exit')).toEqual([1, null])
  expect(readdirSync(temporary)).toEqual([])
  expect(cache().equals(before)).toBe(true)
  await expect.poll(() => children.filter(isAlive), { interval: 5 }).toEqual([])
})

test('ends at once when there is no such load generator', async () => {
  const before = cache()
  expect(await once(start(['--only', 'start', '--client', 'nobody']), 'exit')).toEqual([1, null])
  expect(readdirSync(temporary)).toEqual([])
  expect(cache().equals(before)).toBe(true)
})

test('a processor that is not ours to use is done without', async () => {
  const folder = sandbox.path('bin')
  mkdirSync(folder)
  writeFileSync(join(folder, 'taskset'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  const started = await startWarmCalls({ PATH: `${folder}:${process.env['PATH']}` })
  expect(childrenOf(started.pid!).length).toBeGreaterThan(2)
})

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
}

/** A dead process that nobody has waited for is none. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}
