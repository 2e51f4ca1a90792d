/**
 * Which layout does the file follow, and what does it say in ours? Stands between YAML and validation, so that nothing
 * behind this file knows of another layout.
 */
import { isIbmLayout, translateIbm } from './ibm/translate.js'
import type { Mistake } from './mistake.js'

/** A file as our own layout would say it. */
export interface OurLayout {
  readonly root: Readonly<Record<string, unknown>>
  /** What cannot be said in our layout, with paths of the file as it stands. */
  readonly mistakes: readonly Mistake[]
  /** What is said otherwise than it stands there, with paths of the file as it stands. */
  readonly notices: readonly Mistake[]
  /** Where something of {@link root} stands in the file; `undefined` where {@link mistakes} say enough about it. */
  readonly placeOf: (path: readonly string[]) => readonly string[] | undefined
}

/** @param file Absolute path of the file. */
export function inOurLayout(root: Readonly<Record<string, unknown>>, file: string): OurLayout {
  if (isIbmLayout(root)) return translateIbm(root, file)
  return { root, mistakes: [], notices: [], placeOf: (path) => path }
}
