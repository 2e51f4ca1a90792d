/** `npm run fuzz` runs this file alone with more inputs, and another seed each time. */
import { expect, test } from 'vitest'
import { seeded } from '../../support/seeded.js'
import { fuzz, unharmed } from './fuzz.js'

const INPUTS = Number(process.env['KMSPLUGIN_FUZZ_INPUTS'] ?? 200_000)
const SEED = Number(process.env['KMSPLUGIN_FUZZ_SEED'] ?? 20_261_127)
const MEBIBYTE = 1024 * 1024

test('answers that nothing was done to are read', () => {
  expect(unharmed()).toHaveLength(4)
})

test(
  `of ${INPUTS} mutated answers each is read or refused, and none crashes or is kept`,
  () => {
    // What the engine needs to compile and collect is no growth.
    fuzz(seeded(SEED + 1), Math.min(INPUTS, 100_000))
    const before = process.memoryUsage().rss
    const count = fuzz(seeded(SEED), INPUTS)
    const growth = Math.round((process.memoryUsage().rss - before) / MEBIBYTE)
    console.log(
      `seed ${SEED}: ${count.inputs} inputs, ${count.read} read, ${count.refused} refused, ${count.crashes} crashes, RSS ${growth} MiB more`,
    )
    expect(count.first).toBeUndefined()
    expect(count.crashes).toBe(0)
    expect(count.read).toBeGreaterThan(INPUTS / 1000)
    expect(count.refused).toBeGreaterThan(INPUTS / 2)
    // A guard against keeping what was read, a hundred bytes or more of each input.
    expect(growth).toBeLessThan(256)
  },
  24 * 3_600_000,
)
