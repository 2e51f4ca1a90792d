/** The bundle of src/main.ts, as scripts/build.mjs writes it: one function expression, which is the module. */
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Script } from 'node:vm'

/** It lies beside the file that runs it. */
export const bundle = join(import.meta.dirname, 'kmsplugin.js')

type ModuleFunction = (
  exports: object,
  require: NodeJS.Require,
  module: { exports: object },
  filename: string,
  dirname: string,
) => void

/** Runs it, as Node.js runs a CommonJS module. */
export function run(script: Script): void {
  const evaluate = script.runInThisContext() as ModuleFunction
  const exports = {}
  evaluate(exports, createRequire(bundle), { exports }, bundle, dirname(bundle))
}
