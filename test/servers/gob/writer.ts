/** Values of IBM's plug-in, as Go's own encoding/gob writes them. */
import { goProgram } from '../go_program.js'

const program = goProgram(import.meta.dirname, '', 'ibm-values')

export const gobMissing = program.missing

/** See main.go and shapes.go. */
export interface Wish {
  readonly Shape: string
  readonly Version: number
  readonly WrappedDEK: string
  /** Base64, as Go reads bytes. */
  readonly Key: string
  readonly Plaintext: string
  readonly LengthBytes: number
  readonly Fill?: number
}

/** What kube-apiserver would have stored of each. */
export function writeValues(wishes: readonly Wish[]): Buffer[] {
  return program
    .run(
      [],
      wishes.map((wish) => JSON.stringify(wish)),
    )
    .map((line) => Buffer.from(line, 'base64'))
}
