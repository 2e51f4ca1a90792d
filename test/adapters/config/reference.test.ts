import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import { backends } from '../../../src/adapters/backends/index.js'
import { createConfigSource } from '../../../src/adapters/config/config_source.js'
import { configurationReference } from '../../../src/adapters/config/reference.js'
import { rows } from '../../../src/adapters/config/settings.js'
import { formatSchemas } from '../../../src/container.js'
import { fakeSchemas, fileWith } from './fixtures.js'

const projectFile = (path: string): URL => new URL(`../../../${path}`, import.meta.url)

describe('the reference', () => {
  const lines = configurationReference(fakeSchemas).split('\n')
  const lineOf = (key: string): string => lines.find((line) => line.startsWith(`| \`${key}\` |`)) ?? ''

  test('has a line for every setting with its default as it stands in the file', () => {
    for (const { key } of rows) expect(lineOf(key), key).not.toBe('')
    expect(lineOf('socketMode')).toContain('| `"0600"` |')
    expect(lineOf('drainTimeout')).toContain('| `5s` |')
    expect(lineOf('socketGroup')).toContain('| `""` |')
  })

  test('shows the settings of a backend from the descriptions of its schema', () => {
    expect(lines).toContain('| `path` | required | text | Where it lies. |')
    expect(lines).toContain('| `slot` | none | whole number from 0 to 99 | Finds the token by number. |')
    expect(lines).toContain('| `mechanism` | `gcm` | `gcm`, `oaep` | How it wraps. |')
    expect(lines).toContain('| `readOnly` | `true` | `true` or `false` | Whether it may write. |')
    expect(lines).toContain('| `tls.ca` | required | text | Who signed it. |')
  })

  test('every table row has four cells, whatever a description says', () => {
    for (const line of lines.filter((text) => text.startsWith('|'))) {
      expect(line.replaceAll('\\|', '').split('|'), line).toHaveLength(6)
    }
    expect(lineOf('backend')).toContain('A fake \\| with a bar.')
  })

  test('says how long a revoked KEK can still be read', () => {
    expect(lineOf('dekMaxAge')).toMatch(/revoked KEK.*dekCacheTimeout/)
    expect(lineOf('dekCacheTimeout')).toMatch(/revoked/)
  })
})

describe('with the registered backends', () => {
  const schemas = Object.fromEntries(
    Object.entries(backends).map(([name, load]) => [
      name,
      async (): Promise<z.ZodType> => (await load()).settings,
    ]),
  )
  const source = createConfigSource(schemas, formatSchemas)

  test('docs/configuration.md is what the tables say; `npm run docs` writes it', async () => {
    const loaded = await Promise.all(
      Object.entries(schemas).map(async ([name, load]) => [name, await load()] as const),
    )
    const reference = configurationReference(Object.fromEntries(loaded), formatSchemas)
    await expect(reference).toMatchFileSnapshot('../../../docs/configuration.md')
  })

  test.each(Object.keys(backends))(
    'config/%s.yaml loads, and what it prints loads to the same',
    async (name) => {
      const result = await source.load(projectFile(`config/${name}.yaml`).pathname)
      expect(result.problems).toEqual([])
      if (!('config' in result)) return
      expect(await source.load(fileWith(source.print(result.config)))).toEqual(result)
      expect(Object.values(result.config.keys).map(({ backend }) => backend)).toEqual([name])
    },
  )

  test('every setting of every backend is described', async () => {
    for (const load of Object.values(schemas)) {
      const text = configurationReference({ one: await load() })
      expect(text).not.toMatch(/\| +\|$/m)
    }
  })
})
