// Builds the Go program that plays kube-apiserver, or says what this machine lacks for it.
import { fileURLToPath } from 'node:url'
import { goBuild } from '../../scripts/go_build.mjs'

const SOURCES = fileURLToPath(new URL('.', import.meta.url))
const BINARY = fileURLToPath(new URL('../../node_modules/.cache/kmsplugin/conformance', import.meta.url))

/**
 * @returns {Promise<{ binary: string } | { missing: string }>}
 * @throws {Error} When everything is there and the program does not compile.
 */
export async function buildProgram(say) {
  const order = { packages: ['.'], output: BINARY, say: (line) => say(`conformance: ${line}`) }
  const { missing } = await goBuild(SOURCES, order)
  return missing === undefined ? { binary: BINARY } : { missing }
}
