/** Can the load generator with grpc-go be believed? The same promises as that of Node.js: test/bench. */
import { describe } from 'vitest'
import { goPrograms } from '../../../bench/lib/go.mjs'
import { promises } from '../../bench/load_generator_promises.js'

let why = ''
const go = await goPrograms({ say: (line) => (why = line) })

const title = 'the load generator of the benchmark with grpc-go'
if (go === undefined) describe.skip(`${title} (skipped: ${why})`, () => promises([]))
else describe(title, () => promises(go.client))
