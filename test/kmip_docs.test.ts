/** docs/kmip.md says what the code does. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { endings, stateNames, type Kek } from '../src/adapters/backends/kmip/kek.js'
import { ways } from '../src/adapters/backends/kmip/ways.js'

const text = readFileSync(new URL('../docs/kmip.md', import.meta.url), 'utf8')
const rows = text.split('\n').filter((line) => line.startsWith('|'))

test.each(ways.map(({ name, format }) => [name, format] as const))(
  'the way %s has a row with its format',
  (name, format) => {
    const [row, ...more] = rows.filter((line) => line.includes(`| \`0${format}\``))
    expect(more).toEqual([])
    expect(row).toContain(`| ${name} `)
  },
)

test.each(Object.values(stateNames).filter((name) => !name.includes(' ')))(
  'the state %s has a row',
  (name) => {
    expect(rows.some((line) => line.startsWith(`| ${name} `))).toBe(true)
  },
)

test('a key that stops is warned of as many days before as it says', () => {
  const days = Number(/warns (\d+) days before/.exec(text)?.[1])
  const nowMs = Date.UTC(2026, 0, 1)
  const stops = (inDays: number) => ({ deactivationDate: BigInt(nowMs / 1000 + inDays * 86_400) }) as Kek
  expect(endings(stops(days - 1), nowMs)).toHaveLength(1)
  expect(endings(stops(days + 1), nowMs)).toHaveLength(0)
})
