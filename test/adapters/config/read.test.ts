/** What stands in no file, such as flags, is validated as a file is, and problems name where it does stand. */
import { describe, expect, test } from 'vitest'
import { configOf, minimal, source } from './fixtures.js'

const keys = { a: { backend: 'disk', path: '/var/lib/k' } }
const flags: Readonly<Record<string, string>> = {
  'server.socket': '--listen',
  'keys.a.path': '--key-path',
  'retry.callTimeout': '--timeout',
}
const placeOf = (path: readonly string[]): string | undefined => flags[path.join('.')]

async function problemsOf(root: Readonly<Record<string, unknown>>): Promise<readonly string[]> {
  const { problems } = await source.read(root, placeOf)
  return problems.map(({ path, line, text }) => `${path}: ${line ?? 'no line'}: ${text}`)
}

test('values that are right are the config that a file with them would be', async () => {
  const result = await source.read({ primary: 'a', keys, log: { level: 'debug' } }, placeOf)
  expect(result).toEqual({
    config: await configOf(`${minimal}log:\n  level: debug\n`),
    problems: [],
    notices: [],
  })
})

describe('a mistake', () => {
  test('names the place that stands for its path', async () => {
    expect(await problemsOf({ primary: 'a', keys, server: { socket: 'kms.sock' } })).toEqual([
      '--listen: no line: must be an absolute path, or unix:// and an absolute path',
    ])
  })

  test('names the path where nothing stands for it', async () => {
    expect(await problemsOf({ primary: 'a', keys, log: { level: 'loud' } })).toEqual([
      'log.level: no line: must be one of trace, debug, info, warn, error',
    ])
  })

  test('of what is missing names the place where it would stand', async () => {
    expect(await problemsOf({ primary: 'a', keys: { a: { backend: 'disk' } } })).toEqual([
      '--key-path: no line: is missing',
    ])
  })

  test('against a rule names the first setting of the rule that was given', async () => {
    const [told] = await problemsOf({ primary: 'a', keys, retry: { callTimeout: '5s' } })
    expect(told).toContain('--timeout: no line: retry.callTimeout must not exceed')
    const [other] = await problemsOf({ primary: 'a', keys, health: { path: '/a', livePath: '/a' } })
    expect(other).toContain('health.livePath: no line: health.livePath must not be health.path')
  })

  test('is told beside all others, each once', async () => {
    expect(await problemsOf({ keys, sevrer: {}, server: { socket: 1, socketMode: 7 } })).toHaveLength(4)
  })
})

test('values in the layout of another plugin are unknown here', async () => {
  const [told] = await problemsOf({ SERVER_CONFIG: {}, primary: 'a', keys })
  expect(told).toContain('unknown key "SERVER_CONFIG"')
})
