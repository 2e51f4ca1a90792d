/**
 * Which layout does the file follow? Stands between YAML and validation: a foreign layout is recognised here, and a
 * translation into ours belongs here, so that nothing behind this file knows of it.
 */
import type { Mistake } from './mistake.js'

/** Top-level keys of the IBM Cloud Private KMS plug-in's `kmsplugin-config.yaml`. */
const ibmKeys: readonly string[] = ['SERVER_CONFIG', 'KP_CONFIG', 'LOGGER']

/** One mistake when the file is written in a layout that this version does not read. */
export function foreignLayout(root: Readonly<Record<string, unknown>>): Mistake | undefined {
  const found = Object.keys(root).find((name) => ibmKeys.includes(name))
  if (found === undefined) return undefined
  return {
    path: [found],
    text: 'is a key of the IBM layout, which this version does not read yet; write the file as docs/configuration.md shows',
  }
}
