/** docs/ibm-kmsplugin-config.md and the example are as the code says. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { ibmKeys, ibmSections } from '../src/adapters/config/ibm/keys.js'
import { createConfig } from '../src/container.js'
import { ibmSource, loadIbm } from './adapters/config/ibm_fixtures.js'
import { fileWith } from './adapters/config/fixtures.js'

const pathOf = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url))
const document = readFileSync(pathOf('docs/ibm-kmsplugin-config.md'), 'utf8')
const example = readFileSync(pathOf('examples/ibm-kmsplugin-config.yaml'), 'utf8')

const rows = document
  .split('\n')
  .filter((line) => /^\| `[A-Z_]+\.[A-Z_]+` /.test(line))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
const blocks = [...document.matchAll(/```yaml\n(.*?)```/gs)].map(([, yaml = '']) => yaml)

describe('the table', () => {
  test('has a row for each key and no other, in the order of the code', () => {
    expect(rows.map(([key]) => key)).toEqual(ibmKeys.map(({ section, name }) => `\`${section}.${name}\``))
  })

  test('names the setting that each key becomes', () => {
    const settings = ibmKeys.map(({ becomes }) => {
      if (becomes === undefined) return ''
      const [section, key] = becomes
      const places: Readonly<Record<string, string>> = { key: 'keys.ibm', decoder: 'keys.ibm.decode[0]' }
      return `\`${places[section] ?? section}.${key}\``
    })
    expect(rows.map((cells) => cells[2])).toEqual(settings)
  })

  test('says what each key did and does, and which have no effect', () => {
    for (const [key, there = '', becomes, here = ''] of rows) {
      expect(there, key).not.toBe('')
      expect(here.includes('no effect'), key).toBe(becomes === '')
    }
  })
})

describe('the example', () => {
  test('has every key, loads, seals with an HSM, and warns only of what has no effect', async () => {
    const root = parse(example) as Record<string, object>
    const names = ibmSections.flatMap((section) => Object.keys(root[section] ?? {}))
    expect(names).toEqual(ibmKeys.map(({ name }) => name))
    const { config, notices } = await loadIbm(example)
    expect(config.keys[config.primary]?.backend).toBe('pkcs11')
    expect(Object.keys(config.keys)).toEqual(['ibm', 'hsm'])
    for (const { path, text } of notices) expect(text, path).toContain('has no effect')
  })

  test('loads without KP_CONFIG too, as its comment says, with the registered backends alone', async () => {
    const lines = example.split('\n')
    const from = lines.indexOf('KP_CONFIG:')
    const to = lines.indexOf('LOGGER:')
    const rest = lines.filter(
      (line, index) => !(index >= from && index < to) && !/TOKEN_URL|API_KEY/.test(line),
    )
    const result = await createConfig().load(fileWith(rest.join('\n')))
    expect(result).toMatchObject({ problems: [], config: { primary: 'hsm' } })
  })
})

test('the YAML of the document loads once it has what it leaves out', async () => {
  const server = `SERVER_CONFIG:
  UNIX_SOCKET_PATH: /run/k
  API_KEY: env:API_KEY
`
  expect(blocks).toHaveLength(2)
  for (const block of blocks) {
    const whole = block.includes('SERVER_CONFIG') ? block : server + block
    expect((await ibmSource.load(fileWith(whole))).problems).toEqual([])
  }
})
