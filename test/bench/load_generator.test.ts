/** Can the load generator of the benchmark be believed? That with grpc-go: test/servers/bench. */
import { fileURLToPath } from 'node:url'
import { describe } from 'vitest'
import { promises } from './load_generator_promises.js'

const client = fileURLToPath(new URL('../../bench/client/main.mjs', import.meta.url))

describe('the load generator', () => promises([process.execPath, client]))
