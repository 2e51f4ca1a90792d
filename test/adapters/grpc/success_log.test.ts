/** How many successes are logged, and whether what was left out is known. */
import { describe, expect, test } from 'vitest'
import { SUCCESSES_PER_SECOND, SuccessLog } from '../../../src/adapters/grpc/success_log.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'

function make(all = false) {
  const logger = new RecordingLogger()
  return { logger, log: new SuccessLog(logger, { level: 'info', all }) }
}

describe('a success', () => {
  test('costs nothing while its level is off, and is not counted as left out', () => {
    const { logger, log } = make()
    logger.off.add('info')
    let asked = 0
    const fields = () => {
      asked += 1
      return {}
    }
    for (let i = 0; i < 100; i += 1) log.note(0, fields)
    expect([asked, logger.lines]).toEqual([0, []])
    logger.off.clear()
    log.note(0, fields)
    expect(logger.lines.map((line) => line.fields)).toEqual([{}])
  })

  test('is logged at its level with its fields', () => {
    const { logger, log } = make()
    log.note(0, () => ({ api: 'v2' }))
    expect(logger.lines).toEqual([{ level: 'info', text: 'request answered', fields: { api: 'v2' } }])
  })

  test('beyond the tenth of a second is left out, and the next line says how many were', () => {
    const { logger, log } = make()
    let asked = 0
    for (let i = 0; i < 25; i += 1) log.note(i, () => ({ asked: ++asked }))
    expect(logger.lines).toHaveLength(SUCCESSES_PER_SECOND)
    expect(asked).toBe(SUCCESSES_PER_SECOND)
    log.note(999.9, () => ({}))
    expect(logger.lines).toHaveLength(10)
    log.note(1000, () => ({ n: 1 }))
    log.note(1001, () => ({ n: 2 }))
    expect(logger.lines.slice(10).map(({ fields }) => fields)).toEqual([{ n: 1, unlogged: 16 }, { n: 2 }])
  })

  test('is never left out where all are wanted', () => {
    const { logger, log } = make(true)
    for (let i = 0; i < 1000; i += 1) log.note(0, () => ({ i }))
    expect(logger.lines).toHaveLength(1000)
    expect(logger.lines.at(-1)?.fields).toEqual({ i: 999 })
  })

  test('in any traffic: what is logged and what was left out are all there were', () => {
    const { logger, log } = make()
    let nowMs = 0
    for (let i = 0; i < 5000; i += 1) log.note((nowMs += (i * 7919) % 211), () => ({}))
    log.note(nowMs + 1000, () => ({}))
    const unlogged = logger.lines.map(({ fields }) => Number(fields['unlogged'] ?? 0))
    const leftOut = unlogged.reduce((sum, n) => sum + n, 0)
    expect(leftOut).toBeGreaterThan(0)
    expect(logger.lines.length + leftOut).toBe(5001)
  })
})
