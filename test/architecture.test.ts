/** The four laws of the layout (ARCHITECTURE.md), kept by reading every import. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

/** The registration table of the backends. */
const TABLE = 'adapters/backends/index.ts'

const SRC = fileURLToPath(new URL('../src', import.meta.url))

interface Import {
  readonly from: string
  /** A path below src/, or the name of a package. */
  readonly to: string
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
const sources = new Map(files.map((file) => [file, readFileSync(join(SRC, file), 'utf8')]))
const imports = files.flatMap((from) => importsOf(from, sources.get(from) ?? ''))

function importsOf(from: string, source: string): Import[] {
  const found = source.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*)'([^']+)'/g)
  return [...found].map(([, target = '']) => ({
    from,
    to: target.startsWith('.')
      ? relative(SRC, join(SRC, dirname(from), target)).replace(/\.js$/, '.ts')
      : target,
  }))
}

/** `adapters/x` for most adapters, `adapters/backends/x` for a backend, the file itself for a shared one. */
function roomOf(file: string): string {
  const [top = '', adapter = '', backend = ''] = file.split('/')
  if (top !== 'adapters') return top
  return adapter === 'backends' ? `adapters/backends/${backend}` : `adapters/${adapter}`
}

const breaking = (isAllowed: (i: Import) => boolean, among: (file: string) => boolean) =>
  imports.filter((i) => among(i.from) && !isAllowed(i)).map(({ from, to }) => `${from} imports ${to}`)

test('the laws are checked against real imports', () => {
  expect(imports.length).toBeGreaterThan(200)
})

test('ports import nothing but ports', () => {
  expect(
    breaking(
      ({ to }) => to.startsWith('ports/'),
      (file) => file.startsWith('ports/'),
    ),
  ).toEqual([])
})

test('the domain imports node:crypto, ports and itself', () => {
  const isAllowed = ({ to }: Import) => to === 'node:crypto' || /^(ports|domain)\//.test(to)
  expect(breaking(isAllowed, (file) => file.startsWith('domain/'))).toEqual([])
})

test('an adapter imports ports, its own folder and libraries; a backend also what all backends share', () => {
  /** Files of all backends, and the room that those of services on the network share. */
  const isShared = (file: string) => /^adapters\/backends\/([^/]+|remote\/.+)$/.test(file) && file !== TABLE
  const isAllowed = ({ from, to }: Import) =>
    !/^(ports|domain|adapters|container|main)\b/.test(to) ||
    to.startsWith('ports/') ||
    roomOf(to) === roomOf(from) ||
    (from.startsWith('adapters/backends/') && isShared(to)) ||
    from === TABLE
  expect(breaking(isAllowed, (file) => file.startsWith('adapters/'))).toEqual([])
})

test('only the container, with its parts, knows both the core and the adapters', () => {
  const isAllowed = ({ from, to }: Import) =>
    from === 'container.ts' ||
    (from === 'parts.ts' && to !== 'container.ts') ||
    (from === 'main.ts' && to === 'adapters/cli/index.ts') ||
    /^(ports|container)\b/.test(to)
  const isRoof = (file: string) => !file.includes('/')
  const inside = ({ to }: Import) => !/^(ports|domain|adapters|container)\b/.test(to)
  expect(breaking((i) => inside(i) || isAllowed(i), isRoof)).toEqual([])
})

test('the parts are made for the container alone, which alone puts them together', () => {
  const users = imports.filter(({ to }) => to === 'parts.ts').map(({ from }) => from)
  expect(users).toEqual(['container.ts'])
})

test('what starts the bundle knows nothing that is in it', () => {
  const isStart = (file: string) => file.startsWith('start/')
  const isAllowed = ({ to }: Import) => isStart(to) || to.startsWith('node:')
  expect(breaking(isAllowed, isStart)).toEqual([])
  expect(
    breaking(
      ({ to }) => !isStart(to),
      (file) => !isStart(file),
    ),
  ).toEqual([])
})

test('only main.ts, the entry of the HSM child and what starts the bundle know the process', () => {
  const starting = files.filter((file) => file.startsWith('start/'))
  const allowed = ['main.ts', 'adapters/backends/pkcs11/child/main.ts', ...starting]
  const knowing = files.filter((file) => {
    const code = (sources.get(file) ?? '').replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '')
    return /(?<![\w.'`-])process\.\w|from 'node:process'|globalThis\.process/.test(
      code.replace(/`[^`]*`|'[^']*'/g, "''"),
    )
  })
  expect(knowing.filter((file) => !allowed.includes(file))).toEqual([])
})

test('the parent and the HSM child share one folder, which knows neither of them', () => {
  const child = 'adapters/backends/pkcs11/child/'
  const shared = 'adapters/backends/pkcs11/shared/'
  const isCommon = ({ to }: Import) =>
    to.startsWith(shared) || to.startsWith('ports/') || !to.startsWith('adapters/')
  expect(breaking(isCommon, (file) => file.startsWith(shared))).toEqual([])
  const isInside = (i: Import) => i.to.startsWith(child) || isCommon(i)
  expect(breaking(isInside, (file) => file.startsWith(child))).toEqual([])
  const isOutside = ({ to }: Import) => !to.startsWith(child)
  expect(
    breaking(isOutside, (file) => file.startsWith('adapters/backends/pkcs11/') && !file.startsWith(child)),
  ).toEqual([])
})

test('only the container imports inversify, and only the config adapter convict', () => {
  const users = (name: string) => [
    ...new Set(imports.filter(({ to }) => to === name).map(({ from }) => roomOf(from))),
  ]
  expect(users('inversify')).toEqual(['container.ts'])
  expect(users('convict')).toEqual(['adapters/config'])
})
