import { describe, expect, test } from 'vitest'
import { parseYaml } from '../../../src/adapters/config/parse_yaml.js'
import { configOf, minimal, placesOf, problemsOf } from './fixtures.js'

describe('YAML', () => {
  test.each([
    ['a key that occurs twice', 'log:\n  level: info\n  level: debug\n', 3],
    ['an alias', 'log: &l\n  level: info\nhealth: *l\n', 3],
    ['an alias of nothing', 'log: *l\n', 1],
    ['a tag of its own', 'log:\n  level: !x info\n', 2],
    ['a tag on a section', 'log: !x\n  level: info\n', 2],
    ['a tag of YAML', 'log:\n  level: !!binary aGk=\n', 2],
    ['the tag of a text', 'log:\n  level: !!str info\n', 2],
    ['an open quote', 'log:\n  level: "info\n', 3],
    ['an open bracket', 'log: [\n', 2],
    ['a tab as indentation', 'log:\n\tlevel: info\n', 2],
    ['a second document', 'log:\n---\nlog:\n', 2],
    ['a list as key', '? [a]\n: b\n', 1],
    ['a line without colon', 'log:\n  level: info\nhunter2\n', 3],
    ['an unknown directive', '%FOO\n---\nlog:\n', 1],
  ])('%s is refused with its line', async (_what, text, line) => {
    const problems = await problemsOf(text)
    expect(problems.map(({ path, line: at }) => [path, at])).toEqual([['', line]])
  })

  test('every YAML error is reported, not only the first', async () => {
    const problems = await problemsOf('a: 1\na: 2\nb: @x\nc: *y\n')
    expect(problems.map(({ line }) => line)).toEqual([2, 3, 4])
  })

  test('YAML errors never quote the file', async () => {
    for (const text of [
      'pin: hunter2: x',
      'a: b\nhunter2',
      'a: *hunter2',
      'a: !hunter2 b',
      'a: @hunter2',
      '%hunter2\n---\na: b',
    ]) {
      const problems = await problemsOf(text)
      expect(problems.length).toBeGreaterThan(0)
      expect(JSON.stringify(problems)).not.toContain('hunter2')
    }
  })

  test('thousands of nested levels are refused and do not end the process', async () => {
    for (const level of ['[', '{a: ', '- ', '? ', '[[],', '- - ', '{? ']) {
      const problems = await problemsOf(level.repeat(60_000 / level.length))
      expect(problems.map(({ text }) => text)).toEqual([expect.stringMatching(/nested/) as string])
    }
  })

  test.each(['', '\n# nothing\n', '~', '---\n'])('an empty file %j says what it needs', async (text) => {
    expect((await problemsOf(text)).map((problem) => problem.text)).toEqual([
      expect.stringMatching(/empty.*primary.*keys/),
    ])
  })

  test.each(['- a', 'text', '5'])('a file that is no mapping (%j) is refused', async (text) => {
    expect((await problemsOf(text)).map((problem) => problem.text)).toEqual([
      expect.stringMatching(/must be a mapping/),
    ])
  })

  test('YAML 1.1 words and numbers keep their 1.2 meaning even under a 1.1 directive', async () => {
    const places = await placesOf(`%YAML 1.1\n---\nserver:\n  kmsV1: yes\n${minimal}`)
    expect(places).toEqual(['4 server.kmsV1'])
  })

  test('a byte order mark, comments and CRLF line ends are read', async () => {
    const config = await configOf(`\uFEFF# top\r\n${minimal.replaceAll('\n', '\r\n')}`)
    expect(config.primary).toBe('a')
  })

  test('lines are found for keys and list items, and for nothing else', () => {
    const result = parseYaml('a:\n  b: [x,\n    y]\n"c d":\n  - z\n')
    if ('problems' in result) throw new Error('did not parse')
    const lineOf = (path: string[]): number | undefined => result.parsed.lineOf(path)
    expect([['a'], ['a', 'b'], ['a', 'b', '1'], ['c d'], ['c d', '0']].map(lineOf)).toEqual([1, 2, 3, 4, 5])
    expect([[], ['x'], ['a', 'x'], ['a', 'b', '7'], ['a', 'b', '0', 'x']].map(lineOf)).toEqual(
      Array(5).fill(undefined),
    )
  })
})
