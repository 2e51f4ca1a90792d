import { expect, test } from 'vitest'
import { nearest, unknownKey } from '../../../src/adapters/config/hints.js'

const known = ['socket', 'socketMode', 'level', 'kmsV1']

test.each([
  ['sokcet', 'socket'],
  ['sockets', 'socket'],
  ['SOCKET-MODE', 'socketMode'],
  ['lvl', 'level'],
  ['pin', undefined],
  ['kmsV2', 'kmsV1'],
  ['', undefined],
  ['x', undefined],
  ['completely-different', undefined],
])('%j is taken for %j', (name, expected) => {
  expect(nearest(name, known)).toBe(expected)
})

test('where nothing is known there is no nearest', () => {
  expect(nearest('a', [])).toBeUndefined()
})

test('a very long name is cut', () => {
  expect(unknownKey('x'.repeat(1000), known).length).toBeLessThan(200)
})
