/** A command line is read as the program in whose place we run reads it, or refused without showing a value. */
import { describe, expect, test } from 'vitest'
import { aws } from '../../../../src/adapters/cli/peers/aws.js'
import { csvRecord, goBool, goDurationMs, goInteger } from '../../../../src/adapters/cli/peers/go_values.js'
import { scan, type Scanned } from '../../../../src/adapters/cli/peers/scan.js'
import { vault } from '../../../../src/adapters/cli/peers/vault.js'

const ofVault = (...argv: string[]): Scanned => scan(argv, vault.rows, vault.style)
const ofAws = (...argv: string[]): Scanned => scan(argv, aws.rows, aws.style)

describe('what cannot be read', () => {
  test.each([
    [['-vault-adress=https://v'], 'unknown flag "-vault-adress"; did you mean "-vault-address"?'],
    [['--frobnicate'], 'unknown flag "-frobnicate"'],
    [['-tokenhvs.CANARY'], 'unknown flag at argument 1'],
    [['-debug', '-hvs.CANARY=x'], 'unknown flag at argument 2'],
    [['-token'], '-token needs a value'],
    [['-debug=yes'], '-debug must be true or false'],
    [['-disable-v1=CANARY'], '-disable-v1 must be true or false'],
    [['--print-config=maybe'], '-print-config must be true or false'],
    [['---debug'], 'argument 1 is no flag that can be read'],
    [['-=CANARY'], 'argument 1 is no flag that can be read'],
    [['-__proto__=x'], 'unknown flag at argument 1'],
    [['-constructor=x'], 'unknown flag "-constructor"'],
  ])('%j', (argv, text) => {
    expect(() => ofVault(...argv)).toThrow(text)
    expect(() => ofVault(...argv)).not.toThrow('CANARY')
  })

  test('a flag of one plugin is none of another', () => {
    expect(() => ofAws('--socket=/s')).toThrow('unknown flag "--socket"')
    expect(() => ofAws('--regin=x')).toThrow('did you mean "--region"?')
  })

  test('a list with a quote in the wrong place', () => {
    expect(() => ofAws('--key=a"CANARY"b')).toThrow(/^--key must be values with commas/)
    expect(() => ofAws('--key="a')).toThrow('--key must be values')
  })
})

describe('words that are no flags', () => {
  test('end the flags of Go, and everything behind them is ignored as there', () => {
    const { values, firstIgnored } = ofVault('-debug', 'true', '-token=t')
    expect([...values.keys()]).toEqual(['debug'])
    expect(firstIgnored).toBe(2)
  })

  test('are passed over by pflag', () => {
    const { values, firstIgnored } = ofAws('--debug', 'true', '--region=r')
    expect([...values.keys()]).toEqual(['debug', 'region'])
    expect(firstIgnored).toBe(2)
  })

  test.each([ofVault, ofAws])('-- ends the flags', (read) => {
    expect(read('--debug', '--').firstIgnored).toBeUndefined()
    const { values, firstIgnored } = read('--debug', '--', '--nothing')
    expect([...values.keys()]).toEqual(['debug'])
    expect(firstIgnored).toBe(3)
  })
})

describe('values', () => {
  test('behind a space are taken whatever they look like', () => {
    expect(ofVault('-token', '-hvs', '-debug').values).toEqual(
      new Map([
        ['token', ['-hvs']],
        ['debug', ['true']],
      ]),
    )
  })

  test('keep every = behind the first', () => {
    expect(ofVault('-token=a=b=').values.get('token')).toEqual(['a=b='])
  })

  test('of lists add up, by commas or by repetition; contexts by repetition alone', () => {
    expect(ofAws('--key=a,b', '--key', 'c').values.get('key')).toEqual(['a', 'b', 'c'])
    expect(ofAws('--encryption-context=a=1,b=2').values.get('encryption-context')).toEqual(['a=1,b=2'])
  })

  test.each([['-h'], ['--help'], ['-help'], ['-debug', '--h'], ['-h', '--nonsense']])(
    '%j asks for help',
    (...argv) => {
      expect(ofVault(...argv).help).toBe(true)
      expect(ofAws(...argv).help).toBe(true)
    },
  )

  test.each(['-version', '--version'])('%s asks for the version', (flag) => {
    expect(ofVault(flag).version).toBe(true)
  })
})

describe('numbers, durations and lists of Go', () => {
  test.each([
    ['0', 0],
    ['42', 42],
    ['-1', -1],
    ['+7', 7],
    ['0x1E', 30],
    ['010', 8],
    ['0b11', 3],
    ['1_000', 1000],
  ])('%s', (text, value) => expect(goInteger(text)).toBe(value))

  test.each(['', 'x', '1.5', '1e3', ' 1', '0x', '99999999999', 'NaN', '1__0', '1_', '08'])(
    '%j is no number',
    (text) => {
      expect(() => goInteger(text)).toThrow('whole number')
    },
  )

  test.each([
    ['10s', 10_000],
    ['1m30s', 90_000],
    ['1.5h', 5_400_000],
    ['250ms', 250],
    ['.5s', 500],
    ['0', 0],
    ['1000000ns', 1],
  ])('%s', (text, ms) => expect(goDurationMs(text)).toBe(ms))

  test.each(['', '10', '-1s', '1 s', '1d', 's', '1s1'])('%j is no duration', (text) => {
    expect(() => goDurationMs(text)).toThrow('duration')
  })

  test.each([
    ['', []],
    ['a', ['a']],
    ['a,b', ['a', 'b']],
    [',', ['', '']],
    ['"a,b",c', ['a,b', 'c']],
    ['"a""b"', ['a"b']],
    ['a,b\n', ['a', 'b']],
    ['"a"\r\n', ['a']],
    ['\na\nb', ['a']],
  ])('%j is a record', (text, fields) => expect(csvRecord(text)).toEqual(fields))

  test.each(['True', '1', 't', 'TRUE'])('%s is on', (text) => expect(goBool(text)).toBe(true))
  test.each(['yes', 'on', '', 'tRuE', '2'])('%j is no switch', (text) => expect(() => goBool(text)).toThrow())
})
