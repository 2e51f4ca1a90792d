/** Which formats of other plugins a key may list, and what an operator hears who lists them wrongly. */
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createConfigSource } from '../../../src/adapters/config/config_source.js'
import type { Config } from '../../../src/ports/config.js'
import { fakeBackends, fileWith } from './fixtures.js'

const none = z.strictObject({})
const source = createConfigSource(fakeBackends, {
  plain: { options: none, backends: ['disk'], authenticated: 'all' },
  loose: { options: none, backends: ['disk'], authenticated: 'none' },
  mixed: { options: none, backends: ['disk', 'token'], authenticated: 'some' },
  tuned: {
    options: z.strictObject({ version: z.int().describe('Which.').default(1), name: z.string().optional() }),
    backends: ['disk'],
    authenticated: 'all',
  },
})

const fileOf = (lines: string) => `primary: a\nkeys:\n  a:\n    backend: disk\n    path: /k\n${lines}`

async function loaded(lines: string): Promise<Config> {
  const result = await source.load(fileWith(fileOf(lines)))
  if (!('config' in result)) throw new Error(JSON.stringify(result.problems))
  return result.config
}

async function problems(lines: string): Promise<readonly string[]> {
  const found = (await source.load(fileWith(fileOf(lines)))).problems
  return found.map(({ path, line, text }) => `${line ?? '-'} ${path}: ${text}`)
}

describe('what is wrong with decode', () => {
  test.each([
    ['    decode: plain\n', /^6 keys\.a\.decode: must be a list/],
    ['    decode: []\n', /^6 keys\.a\.decode: must be a list/],
    ['    decode:\n', /^6 keys\.a\.decode: is empty/],
    ['    decode: [plane]\n', /^6 keys\.a\.decode\.0: must be one of .*did you mean "plain"\?/],
    ['    decode: [7]\n', /^6 keys\.a\.decode\.0: must be the name of a format/],
    ['    decode: [[plain]]\n', /^6 keys\.a\.decode\.0: must be the name of a format/],
    ['    decode: [{ version: 1 }]\n', /^6 keys\.a\.decode\.0: must be one of plain, loose/],
    ['    decode: [{ format: tuned, vresion: 1 }]\n', /unknown key "vresion"; did you mean "version"/],
    [
      '    decode: [{ format: tuned, version: x }]\n',
      /keys\.a\.decode\.0\.version: expected number, received string/,
    ],
    ['    decode: [loose]\n', /protects nothing against alteration.*set allowUnauthenticated: true/],
    ['    decode: [plain]\n    allowUnauthenticated: "yes"\n', /^7 .*must be true or false/],
    ['    decode: [plain]\n    allowUnauthenticated: true\n', /^7 .*allowUnauthenticated: has no effect/],
    ['    allowUnauthenticated: true\n', /^6 .*allowUnauthenticated: has no effect/],
    ['    deocde: [plain]\n', /unknown key "deocde"; did you mean "decode"\?/],
  ])('%j is one problem at its place', async (lines, text) => {
    const found = await problems(lines)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(text)
  })

  test('a format that the backend of the key cannot open names those that can', async () => {
    const file =
      'primary: a\nkeys:\n  a:\n    backend: token\n    tokenLabel: t\n    pin: file:/p\n    decode: [plain]\n'
    const { problems: found } = await source.load(fileWith(file))
    expect(found.map(({ text }) => text)).toEqual(['plain is opened by a key of disk, not of token'])
  })

  test('mistakes of the backend and of decode are told together', async () => {
    const found = (
      await source.load(
        fileWith('primary: a\nkeys:\n  a:\n    backend: disk\n    path: k\n    decode: [nope]\n'),
      )
    ).problems
    expect(found.map(({ path }) => path)).toEqual(['keys.a.path', 'keys.a.decode.0'])
  })
})

describe('what decode means', () => {
  test('a name and a mapping are the same, and defaults of options are filled in', async () => {
    const short = await loaded('    decode: [plain, tuned]\n')
    const long = await loaded('    decode:\n      - format: plain\n      - { format: tuned, version: 1 }\n')
    expect(short).toEqual(long)
    expect(short.keys['a']?.decode).toEqual([{ format: 'plain' }, { format: 'tuned', version: 1 }])
  })

  test('a key without it decodes nothing', async () => {
    expect((await loaded('')).keys['a']).toEqual({ backend: 'disk', path: '/k' })
  })

  test('what protects nothing may be listed with the permission, what protects some also without', async () => {
    const config = await loaded('    decode: [loose, mixed]\n    allowUnauthenticated: true\n')
    expect(config.keys['a']?.allowUnauthenticated).toBe(true)
    expect((await loaded('    decode: [mixed]\n')).keys['a']?.allowUnauthenticated).toBeUndefined()
  })

  test('the printed configuration loads back to the same', async () => {
    const config = await loaded(
      '    decode: [plain, { format: tuned, name: x }, loose]\n    allowUnauthenticated: true\n',
    )
    const printed = source.print(config)
    expect(printed).toMatch(/^ +- plain$/m)
    const again = await source.load(fileWith(printed))
    expect(again).toEqual({ config, problems: [], notices: [] })
  })
})

test('the JSON Schema offers each backend the formats that its keys open', async () => {
  const text = JSON.stringify(await source.schema())
  const { properties } = JSON.parse(text) as {
    properties: { keys: { additionalProperties: { anyOf: { properties: Record<string, unknown> }[] } } }
  }
  const [disk, tokens] = properties.keys.additionalProperties.anyOf.map((one) => JSON.stringify(one))
  for (const name of ['plain', 'loose', 'mixed', 'tuned']) expect(disk).toContain(`{"const":"${name}"}`)
  expect(tokens).toContain('{"const":"mixed"}')
  expect(tokens).not.toContain('"plain"')
})
