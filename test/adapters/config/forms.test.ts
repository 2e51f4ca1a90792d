import { describe, expect, test } from 'vitest'
import { bool, duration, integer, oneOf, type Form } from '../../../src/adapters/config/forms.js'
import {
  healthAddress,
  healthPath,
  livePath,
  socketGroup,
  socketMode,
  socketPath,
} from '../../../src/adapters/config/endpoint_forms.js'

function refusal(form: Form<unknown>, value: unknown): string {
  try {
    form.read(value)
  } catch (error) {
    return (error as Error).message
  }
  throw new Error(`accepted ${JSON.stringify(value)}`)
}

const hour = duration(1, 3_600_000)

test.each([
  5,
  '5',
  '5 s',
  '-5s',
  '1.5s',
  '5S',
  '1d',
  '',
  ' 5s',
  '5s\n',
  's',
  '1e3ms',
  '9999999999999s',
  true,
  NaN,
])('the duration %j is refused with the units', (value) =>
  expect(refusal(hour, value)).toMatch(/ms, s, m, h/),
)

test('a duration beyond its bounds is refused with the bounds', () => {
  for (const value of [0, '0', '0s', '2h', '3600001ms'])
    expect(refusal(hour, value)).toBe('must be from 1ms to 1h')
})

test('a duration is read in milliseconds and written in the largest unit that divides it', () => {
  const form = duration(0, 1e12)
  const cases: [unknown, number, string][] = [
    [0, 0, '0'],
    ['0', 0, '0'],
    ['0h', 0, '0'],
    ['250ms', 250, '250ms'],
    ['2500ms', 2500, '2500ms'],
    ['5s', 5000, '5s'],
    ['90s', 90_000, '90s'],
    ['60s', 60_000, '1m'],
    ['168h', 604_800_000, '168h'],
  ]
  for (const [written, ms, printed] of cases) {
    expect(form.read(written)).toBe(ms)
    expect(form.write(ms)).toBe(printed)
    expect(form.read(printed)).toBe(ms)
  }
})

test.each([1.5, NaN, Infinity, true, [], 0, 11, -1, 2 ** 60])('the number %j is refused', (value) => {
  expect(refusal(integer(1, 10), value)).toMatch(/whole number|from 1 to 10/)
})

test('a number in quotes is refused with that hint', () => {
  expect(refusal(integer(1, 10), '5')).toMatch(/without quotes/)
})

test.each(['true', 'false', 'yes', 'no', 'on', 'off', '', 0, 1])('%j is no switch', (value) => {
  expect(refusal(bool, value)).toMatch(/true or false/)
})

test.each(['c', 'A', '', 1])('%j is none of the words', (value) => {
  expect(refusal(oneOf('a', 'b'), value)).toBe('must be one of a, b')
})

describe('the socket', () => {
  test.each(['@kms', 'unix:@kms', 'unix:/@kms', 'unix://@kms', 'unix:///@kms', '/@kms', 'unix-abstract:kms'])(
    'the abstract socket %j is refused with the reason',
    (value) => expect(refusal(socketPath, value)).toMatch(/abstract/),
  )

  test.each([
    '',
    'kms.sock',
    './kms.sock',
    'unix://run/kms.sock',
    'unix:/run/kms.sock',
    'tcp://127.0.0.1:1',
    5,
    true,
  ])('%j is no absolute path', (value) => expect(refusal(socketPath, value)).toMatch(/absolute path|quotes/))

  test.each([
    '/',
    '/run/',
    '/run//kms',
    '/run/../kms',
    '/run/./kms',
    '/run/k\0',
    '/run/k\n',
    'unix:////run/k',
  ])('%j is no plain path', (value) => expect(refusal(socketPath, value)).toMatch(/plain path/))

  test('a path holds at most 107 bytes, counted as UTF-8 and without unix://', () => {
    const longest = `/${'x'.repeat(106)}`
    expect(socketPath.read(longest)).toBe(longest)
    expect(socketPath.read(`unix://${longest}`)).toBe(longest)
    expect(refusal(socketPath, `${longest}x`)).toMatch(/107 bytes/)
    expect(refusal(socketPath, `/${'é'.repeat(54)}`)).toMatch(/107 bytes/)
  })

  test.each([600, 0o600, 660])('the mode %j without quotes is refused with that hint', (value) => {
    expect(refusal(socketMode, value)).toBe('must be a text; write it in quotes: "0600"')
  })

  test.each(['0666', '0777', '0601', '0604', '600', '0o600', '0400', '0060', '00600', 'rw', ''])(
    'the mode %j is refused',
    (value) => expect(refusal(socketMode, value)).toMatch(/0600/),
  )

  test('a mode is read as bits and written in octal', () => {
    expect(socketMode.read('0660')).toBe(0o660)
    expect(socketMode.write(0o600)).toBe('0600')
  })

  test.each([1000, 'a b', '-x', '12345678901', 'x'.repeat(33), 'a:b'])('%j is no group', (value) => {
    expect(refusal(socketGroup, value)).toMatch(/group|quotes/)
  })

  test.each(['', 'kube', '_x', '1000', 'kube-apiserver.svc'])('%j is a group', (value) => {
    expect(socketGroup.read(value)).toBe(value)
  })
})

describe('the health server', () => {
  test.each([
    20358,
    '20358',
    'localhost',
    '1.2.3:80',
    '300.1.1.1:80',
    '::1:80',
    '[::1]',
    '[x]:80',
    '-a:80',
    'a_b:80',
    'a..b:80',
  ])('%j is no address', (value) => expect(refusal(healthAddress, value)).toMatch(/host|port|quotes/))

  test.each(['127.0.0.1:0', '127.0.0.1:65536', ':99999'])(
    '%j has no port that one can listen on',
    (value) => {
      expect(refusal(healthAddress, value)).toMatch(/1 to 65535/)
    },
  )

  test('an address without host is loopback, and an empty one is no server', () => {
    expect(healthAddress.read(':8080')).toEqual({ host: '127.0.0.1', port: 8080 })
    expect(healthAddress.read('')).toBeUndefined()
    expect(healthAddress.write(undefined)).toBe('')
  })

  test('an IPv6 address stands in brackets', () => {
    const address = { host: '::1', port: 20358 }
    expect(healthAddress.read('[::1]:20358')).toEqual(address)
    expect(healthAddress.write(address)).toBe('[::1]:20358')
  })

  test.each(['', '/', 'healthz', '/a/', '//a', '/a/../b', '/./a', '/a b', '/a?b', '/metrics', 5])(
    '%j is no path of the health server',
    (value) => {
      expect(refusal(healthPath, value)).toMatch(/must/)
      expect(refusal(livePath, value)).toMatch(/must/)
    },
  )

  test('a path that means one thing is not given another meaning', () => {
    expect(refusal(healthPath, '/livez')).toMatch(/must not be one of \/livez, \/metrics/)
    expect(refusal(livePath, '/readyz')).toMatch(/must not be one of \/readyz, \/metrics/)
    expect(healthPath.read('/readyz')).toBe('/readyz')
    expect(livePath.read('/livez')).toBe('/livez')
  })

  test.each(['/healthz', '/a/b-c_d.e~f'])('%j is a path of the health server', (value) => {
    expect(healthPath.read(value)).toBe(value)
    expect(livePath.read(value)).toBe(value)
  })
})
