/** The pages on migrating from the plugins of clouds: what they say to write loads, and what they name exists. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatOfName } from '../src/adapters/formats/index.js'
import { createConfig } from '../src/container.js'
import { errorCodes } from '../src/ports/errors.js'

const pages = ['aws-encryption-provider', 'azure-kubernetes-kms', 'gcp-cloudkms-plugin']

function pageOf(name: string): string {
  return readFileSync(fileURLToPath(new URL(`../docs/migrate/${name}.md`, import.meta.url)), 'utf8')
}

/** Whole configurations; in a list they stand two spaces further in. */
function configsIn(page: string): readonly string[] {
  return [...page.matchAll(/^( *)```yaml\n(.*?)^ *```/gms)]
    .map(([, indent = '', yaml = '']) => yaml.replaceAll(new RegExp(`^${indent}`, 'gm'), ''))
    .filter((yaml) => yaml.includes('\nkeys:'))
}

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kmsplugin-migrate-'))
})
afterAll(() => {
  rmSync(folder, { recursive: true })
})

describe.each(pages)('docs/migrate/%s.md', (name) => {
  const page = pageOf(name)
  const configs = configsIn(page)

  test('has configurations, and each loads and decodes the format of the page', async () => {
    expect(configs.length).toBeGreaterThanOrEqual(1)
    for (const yaml of configs) {
      const file = join(folder, `${name}.yaml`)
      writeFileSync(file, yaml, { mode: 0o600 })
      const result = await createConfig().load(file)
      expect(result.problems).toEqual([])
      const keys = 'config' in result ? Object.values(result.config.keys) : []
      expect(JSON.stringify(keys)).toContain(`"decode":[{"format":"${name}"}]`)
    }
  })

  test('names codes, metrics and a format that exist', () => {
    expect(formatOfName(name)).toBeDefined()
    const codes = page.match(/ERR_[A-Z_]+/g) ?? []
    expect(codes.filter((code) => !(code in errorCodes))).toEqual([])
    expect(page).toContain(`kmsplugin_foreign_decrypts_total{format="${name}",code="OK"}`)
  })

  test('says how to go back, and that the old plugin cannot read what we wrote', () => {
    const back = page.slice(page.indexOf('## Go back'))
    expect(back).toContain('cannot read what we have written')
    expect(back).toContain('kubectl replace -f -')
  })
})
