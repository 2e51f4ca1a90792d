import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createPinoLogger } from '../../../src/adapters/observability/pino_logger.js'
import type { PinoLogger, PinoLoggerOptions } from '../../../src/adapters/observability/pino_logger.js'
import type { LogFields } from '../../../src/ports/logger.js'

const ESCAPE = '\u001b'

const SECRET = 'correct horse battery staple'
const secretBytes = Buffer.from(SECRET)
let folder: string
let files = 0

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kmsplugin-log-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Everything that `use` logs, as written. */
function written(use: (log: PinoLogger) => void, options: Partial<PinoLoggerOptions> = {}): string {
  const file = join(folder, `log-${files++}`)
  const fd = openSync(file, 'a')
  try {
    use(createPinoLogger({ level: 'debug', pretty: false, fd, ...options }))
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(fd)
  }
}

/** The one line that `use` logs, parsed. */
function entry(use: (log: PinoLogger) => void): Record<string, unknown> {
  const lines = written(use).split('\n')
  expect(lines).toHaveLength(2)
  return JSON.parse(lines[0]!) as Record<string, unknown>
}

function entryBut(name: string, use: (log: PinoLogger) => void): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entry(use)).filter(([key]) => key !== name))
}

class Key {
  readonly material = SECRET
}

describe('what is no scalar is not serialised', () => {
  const smuggled: readonly (readonly [string, unknown])[] = [
    ['a Buffer', secretBytes],
    ['a Uint8Array', new Uint8Array(secretBytes)],
    ['an Error with enumerable properties', Object.assign(new Error(SECRET), { pin: SECRET })],
    ['a nested object', { a: { b: SECRET } }],
    ['an array', [SECRET]],
    ['an object of a class', new Key()],
    ['an object with toJSON', { toJSON: () => SECRET }],
    ['a boxed string', new String(SECRET)],
    ['a function', Object.assign(() => SECRET, { pin: SECRET })],
    ['a symbol', Symbol(SECRET)],
    ['a bigint', 123_456_789n],
    ['null', null],
  ]
  const bytesAsNumbers = secretBytes.join(',')

  test.each(smuggled)('%s as the value of a field', (_, value) => {
    const rest = entryBut('time', (log) => log.info('text', { value, ok: 1 } as never))
    expect(rest).toEqual({ level: 'info', value: '[dropped]', ok: 1, msg: 'text' })
  })

  // A string, too: its entries are its characters. `null` and a plain object are what they seem to be.
  test.each([
    ...smuggled.filter(([name]) => !name.includes('nested') && !name.includes('toJSON')),
    ['a string', SECRET] as const,
  ])('%s in the place of the fields', (_, value) => {
    const rest = entryBut('time', (log) => log.info('text', value as never))
    expect(rest).toEqual({ level: 'info', fields: '[dropped]', msg: 'text' })
  })

  test.each(smuggled)('%s in the place of the text', (_, value) => {
    const rest = entryBut('time', (log) => log.info(value as never))
    expect(rest).toEqual({ level: 'info', msg: '[dropped]' })
  })

  test('the secret is in no line, in whatever form', () => {
    for (const pretty of [false, true]) {
      const all = written(
        (log) => {
          for (const [, value] of smuggled) {
            log.error('text', { value } as never)
            if (!(value instanceof Object) || Array.isArray(value)) continue
            log.error(value as never)
          }
          log.error('text', secretBytes as never)
        },
        { pretty },
      )
      for (const form of [
        SECRET,
        bytesAsNumbers,
        secretBytes.toString('base64'),
        secretBytes.toString('hex'),
      ]) {
        expect(all).not.toContain(form)
      }
    }
  })

  test('a field that throws when it is read costs its line, is counted and throws no further', () => {
    const trap = Object.defineProperty({}, 'value', {
      enumerable: true,
      get: () => {
        throw new Error(SECRET)
      },
    })
    const all = written((log) => {
      log.info('first', trap)
      log.info('second')
      expect(log.dropped()).toBe(1)
    })
    expect(all).toContain('second')
    expect(all).not.toContain(SECRET)
  })
})

describe('a line', () => {
  test('has its level as a word, an ISO time, the fields and the text', () => {
    const fields: LogFields = { uid: 'u-1', seconds: 0.5, cached: true, absent: undefined }
    const { time, ...rest } = entry((log) => log.warn('encrypt', fields))
    expect(rest).toEqual({ level: 'warn', uid: 'u-1', seconds: 0.5, cached: true, msg: 'encrypt' })
    expect(new Date(time as string).toISOString()).toBe(time)
  })

  test('is one line, whatever its text and fields contain', () => {
    const nasty = 'a\r\nb\u0000\u001b[31m"\\\u2028 %s %j %%'
    const rest = entryBut('time', (log) => log.info(nasty, { nasty, 'na\nme"': 1, not: NaN }))
    expect(rest).toEqual({ level: 'info', nasty, 'na\nme"': 1, not: null, msg: nasty })
  })

  test('cannot be given another level, time or text by a field', () => {
    const { time, ...rest } = entry((log) =>
      log.info('text', { level: 'error', time: 'never', msg: 'other' }),
    )
    expect(rest).toEqual({ level: 'info', level_: 'error', time_: 'never', msg_: 'other', msg: 'text' })
    expect(time).not.toBe('never')
  })

  test('below the level is not written', () => {
    const use = (log: PinoLogger) => {
      log.debug('d')
      log.info('i')
      log.warn('w')
      log.error('e')
    }
    const texts = (level: PinoLoggerOptions['level']) =>
      [...written(use, { level }).matchAll(/"msg":"(.)"/g)].map((match) => match[1]).join('')
    expect(texts('trace')).toBe('diwe')
    expect(texts('debug')).toBe('diwe')
    expect(texts('info')).toBe('iwe')
    expect(texts('warn')).toBe('we')
    expect(texts('error')).toBe('e')
  })

  test('that can never be written is counted', () => {
    const log = createPinoLogger({ level: 'info', pretty: false, fd: 987_654 })
    for (let n = 0; n < 10; n++) log.info('text')
    log.flush()
    expect(log.dropped()).toBeGreaterThanOrEqual(9)
  })

  test('that is larger than the whole queue is dropped and counted', () => {
    const all = written((log) => {
      log.info('x'.repeat(2_000_000))
      log.info('after')
      expect(log.dropped()).toBe(1)
    })
    expect(all).toMatch(/^\{.*"msg":"after"\}\n$/)
  })
})

describe('on a terminal', () => {
  test('a line is readable and cannot steer the terminal or forge another line', () => {
    const nasty = 'a\n[12:00:00] ERROR: forged\u001b[2J\u009b2J\u007f'
    const all = written((log) => log.info(nasty, { nasty, [nasty]: 1 }), { pretty: true })
    // The colours are pino-pretty's own; of control characters only those and the end of the line are left.
    const bare = all.replace(new RegExp(`${ESCAPE}\\[\\d+m`, 'g'), '')
    expect(bare).toMatch(/^\[[\d:.]+\] INFO: a\\u000a\[12:00:00\] ERROR: forged\\u001b/)
    expect(bare.match(/\p{Cc}/gu)).toEqual(['\n'])
  })
})
