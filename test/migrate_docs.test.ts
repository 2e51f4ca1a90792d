/** The pages on coming from another plugin: what they have one write, run and look for is what the program knows. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { commands, type Served } from '../src/adapters/cli/index.js'
import { formatOfName } from '../src/adapters/formats/index.js'
import { ownMetrics } from '../src/adapters/observability/metrics_table.js'
import { createConfig } from '../src/container.js'
import { errorCodes } from '../src/ports/errors.js'
import { run } from './adapters/cli/run.js'

const DOCS = new URL('../docs/', import.meta.url)
const textOf = (name: string): string => readFileSync(fileURLToPath(new URL(name, DOCS)), 'utf8')

const names = readdirSync(fileURLToPath(new URL('migrate', DOCS))).map((file) => `migrate/${file}`)
const general = textOf('migrate/README.md')
/** One for each plugin. */
const pages = names.filter((name) => !name.endsWith('README.md'))

const folder = mkdtempSync(join(tmpdir(), 'kmsplugin-migrate-'))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** The blocks of a language; in a list they stand further in. */
function blocksIn(page: string, language: string): readonly string[] {
  return [...page.matchAll(new RegExp(`^( *)\`\`\`${language}\\n(.*?)^ *\`\`\``, 'gms'))].map(
    ([, indent = '', text = '']) => text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}

const configsIn = (page: string) => blocksIn(page, 'yaml').filter((yaml) => yaml.includes('\nkeys:'))

interface PodPart {
  readonly containers: readonly { readonly args: readonly string[] }[]
}

/** The arguments of each container that the page shows. */
function argumentsIn(page: string): readonly (readonly string[])[] {
  return blocksIn(page, 'yaml')
    .filter((yaml) => yaml.startsWith('containers:'))
    .flatMap((yaml) => (parse(yaml) as PodPart).containers.map(({ args }) => args))
}

/** As GitHub makes them of headings. */
function anchorsOf(page: string): readonly string[] {
  return [...page.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

describe.each(names)('docs/%s', (name) => {
  const page = textOf(name)

  test('each configuration loads, and each container of it starts as the plugin that it replaces', async () => {
    for (const yaml of configsIn(page)) {
      const file = join(folder, 'kmsplugin-config.yaml')
      writeFileSync(file, yaml, { mode: 0o600 })
      const loaded = await createConfig().load(file)
      expect(loaded.problems).toEqual([])
      const keys = 'config' in loaded ? Object.values(loaded.config.keys) : []
      expect(JSON.stringify(keys)).toContain('"decode":[{"format":')
    }
    for (const args of argumentsIn(page)) {
      const served: Served[] = []
      const serve = async (given: Served) => Promise.resolve(served.push(given) - 1)
      const services = { serve, configSource: async () => Promise.resolve(createConfig()) }
      expect(await run(args, { services }), args.join(' ')).toMatchObject({ exitCode: 0 })
      expect(served).toHaveLength(1)
    }
  })

  test('names commands, codes, metrics, formats and headings that exist', () => {
    const known = new Set(commands.map((command) => command.name))
    const named = [...page.matchAll(/`[^`\n]*\bkmsplugin ([a-z][\w-]*)/g)].map(([, command = '']) => command)
    expect(named.filter((command) => !known.has(command))).toEqual([])

    const codes = page.match(/ERR_[A-Z_]+/g) ?? []
    expect(codes.filter((code) => !(code in errorCodes))).toEqual([])

    const metrics = new Set<string>(Object.values(ownMetrics).map((row) => row.name))
    const counted = page.match(/\bkmsplugin_[a-z_]*[a-z]/g) ?? []
    expect(counted.filter((metric) => !metrics.has(metric))).toEqual([])

    const formats = [...page.matchAll(/\{format="([^"]+)"/g)].map(([, format = '']) => format)
    expect(formats.filter((format) => formatOfName(format) === undefined)).toEqual([])

    const links = [...page.matchAll(/\]\(([^)\s#:]*)#([^)]+)\)/g)]
    const dead = links.filter(([, file = '', anchor = '']) => {
      const target = file === '' ? page : readFileSync(new URL(file, new URL(name, DOCS)), 'utf8')
      return !anchorsOf(target).includes(anchor)
    })
    expect(dead.map(([link]) => link)).toEqual([])
  })
})

describe.each(pages)('docs/%s', (name) => {
  const page = textOf(name)
  const plugin = basename(name, '.md')

  test('is in the list of the pages, and says how the pod has to change, and that going back needs a rewrite', () => {
    expect(general).toContain(`](${name.replace('migrate/', '')})`)
    if (commands.some((command) => command.name === plugin)) expect(argumentsIn(page)).not.toEqual([])
    else expect(page).toMatch(/^primary:|args: \[serve/m)
    expect(page).toMatch(
      /(cannot read (our values|what (we have|it|ours|`kmsplugin` has) written))|only\s+this plugin reads/,
    )
  })

  test('where the old plugin may have written by v1, does not promise that an empty write rewrites it', () => {
    const forward = page.slice(0, page.indexOf('## Go back'))
    const isOnV1 = /\bv1\b/.test(forward.replaceAll(/AAD version `v1`|apiVersion: v2.{0,80}means v1/gs, ''))
    if (isOnV1) expect(page).toMatch(/README\.md#(rewrite-on-v1|what-happens)/)
  })
})

test('kube-apiserver skips a write on v1 that changes nothing, so the general page has each object changed', () => {
  const part = general.slice(general.indexOf('### Rewrite on v1'), general.indexOf('## The pod'))
  expect(part).toContain('kubectl annotate secrets --all --all-namespaces')
  expect(textOf('operations.md')).toContain('migrate/README.md#rewrite-on-v1')
})
