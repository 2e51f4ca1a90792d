// npm run fuzz [INPUTS]: the reader of KMIP answers on many mutated ones, with a new seed; prints what became of them.
import { randomInt } from 'node:crypto'
import { ensurePackages, fail, run } from './setup.mjs'

ensurePackages()
const inputs = process.argv[2] ?? '5000000'
if (!/^[1-9][0-9]*$/.test(inputs)) fail('usage: npm run fuzz -- INPUTS')
const env = { KMSPLUGIN_FUZZ_INPUTS: inputs, KMSPLUGIN_FUZZ_SEED: String(randomInt(2 ** 31)) }
const words = ['node_modules/vitest/vitest.mjs', 'run', 'test/adapters/kmip/fuzz.test.ts']
if (!run(process.execPath, words, { show: true, env })) process.exit(1)
