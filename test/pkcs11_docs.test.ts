/** The tables of docs/pkcs11.md are as the code and the contract tests say. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { passedNames, passedPrefixes } from '../src/adapters/backends/pkcs11/child_env.js'
import { strategiesFor } from '../src/adapters/backends/pkcs11/child/strategies/index.js'
import {
  formatOf,
  OAEP_SHA1_FORMAT,
  type WrapFormat,
} from '../src/adapters/backends/pkcs11/shared/formats.js'
import { mechanismNames, weaknessNames } from '../src/adapters/backends/pkcs11/shared/mechanisms.js'
import { WRAPPED_DEK_MAX_BYTES } from '../src/ports/key_wrapper.js'
import type { TokenCase } from './contract/pkcs11_token.js'

/** What the contract tests prove, gathered instead of run. */
const proven = vi.hoisted((): TokenCase[] => [])
vi.mock('./contract/pkcs11_token.js', () => ({
  tokenContract: (subject: TokenCase) => void proven.push(subject),
}))

const document = readFileSync(new URL('../docs/pkcs11.md', import.meta.url), 'utf8')

/** The cells of the one table whose head begins with these, without backquotes. */
function table(...head: readonly string[]): string[][] {
  const rows = document.split('\n').map((line) =>
    line.startsWith('|')
      ? line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim().replaceAll('`', ''))
      : undefined,
  )
  const starts = rows.flatMap((row, at) => (head.every((name, i) => row?.[i] === name) ? [at] : []))
  expect(starts, `tables that begin with ${head.join(', ')}`).toHaveLength(1)
  const body = rows.slice((starts[0] ?? 0) + 2)
  const end = body.findIndex((row) => row === undefined)
  return body.slice(0, end < 0 ? undefined : end) as string[][]
}

const column = (rows: readonly string[][], at: number): string[] => rows.map((row) => row[at] ?? '')

describe('docs/pkcs11.md', () => {
  beforeAll(async () => {
    await import('./contract/pkcs11.test.js')
    await import('./modules/contract.test.js')
    expect(proven).not.toEqual([])
  })

  test('lists the mechanisms in the order of auto, each with what the KEK must be allowed to do', () => {
    const rows = table('mechanism', "the KEK's usage")
    expect(column(rows, 0)).toEqual(mechanismNames)
    const formOf = (mechanism: string): WrapFormat =>
      Number(table('form', 'bytes after it').find((row) => row[2] === mechanism)?.[0]) as WrapFormat
    for (const [name = '', usage = ''] of rows) {
      const wanted = strategiesFor(formOf(name)).flatMap((strategy) => strategy.usage)
      expect(new Set(usage.match(/CKA_\w+/g)), name).toEqual(new Set(wanted))
    }
  })

  test('says for each mechanism what keygen makes', () => {
    const named = column(table('mechanism', 'keygen makes'), 0).flatMap((cell) => cell.split(', '))
    expect(named).toEqual(mechanismNames)
  })

  test('lists every form and length that the code takes, and no other', () => {
    const listed = table('form', 'bytes after it').flatMap(([form, lengths = '']) =>
      lengths.split(', ').map((length) => [Number(form), Number(length)]),
    )
    const taken: [form: number, length: number][] = []
    const bytes = new Uint8Array(WRAPPED_DEK_MAX_BYTES)
    for (let form = 0; form < 256; form += 1) {
      bytes[0] = form
      for (let length = 0; length < bytes.length; length += 1) {
        if (formatOf(bytes.subarray(0, 1 + length)) !== undefined) taken.push([form, length])
      }
    }
    expect(listed).toEqual(taken)
  })

  test('names the mechanism that makes each form', () => {
    for (const [form = '', , mechanism] of table('form', 'bytes after it')) {
      const format = Number(form) as WrapFormat
      const makers = new Set(strategiesFor(format).map((strategy) => strategy.mechanism))
      expect([mechanism], form).toEqual(format === OAEP_SHA1_FORMAT ? ['–'] : [...makers])
    }
  })

  test('lists the attributes that allowWeakKey can except, and only those as refused', () => {
    const refused = table('attribute', 'wanted', 'otherwise').filter((row) => row[2] === 'refused')
    expect(column(refused, 0)).toEqual(weaknessNames)
  })

  test('names every environment variable that reaches the module', () => {
    const section = /- Of the plugin's environment only these:([^]*?) No `LD_LIBRARY_PATH`/.exec(
      document,
    )?.[1]
    const named = [...(section ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name)
    expect(named.toSorted()).toEqual([...passedNames, ...passedPrefixes].toSorted())
  })

  test('claims for each module what the contract suite proves, and no more', () => {
    const claimed = table('module', 'version').flatMap(([name, , ...forms]) =>
      mechanismNames.flatMap((mechanism, at) =>
        forms[at] === '–' ? [] : [{ name, mechanism, format: Number(forms[at]) }],
      ),
    )
    expect(claimed).toEqual(proven.map(({ name, mechanism, format }) => ({ name, mechanism, format })))
  })

  test('tells which attributes a module of the suite needs an exception for', () => {
    for (const { name, settings } of proven) {
      if (settings?.allowWeakKey === undefined) continue
      const line = new RegExp(`^- \\*\\*${name}\\*\\*[^]*?(?=^- )`, 'm').exec(document)?.[0]
      expect(line).toContain(`\`allowWeakKey: [${settings.allowWeakKey.join(', ')}]\``)
    }
  })

  test('calls no module tested that the suite does not run on', () => {
    for (const row of table('module', 'what fits, if the documents are right')) {
      expect(row[2]).toBe('not tested by us')
      expect(proven.some(({ name }) => name === row[0])).toBe(false)
    }
  })
})
