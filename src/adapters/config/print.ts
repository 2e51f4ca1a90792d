/** How does a config read as YAML, with every default in sight and no secret? */
import { stringify } from 'yaml'
import type { Config } from '../../ports/config.js'
import { written } from './decode.js'
import { masked } from './secrets.js'
import { rows } from './settings.js'

/** What loading reads back to the same config. Secrets that are no references are masked. */
export function printConfig(config: Config): string {
  const file: Record<string, Record<string, unknown>> = {}
  for (const row of rows) {
    const values = config[row.section] as unknown as Readonly<Record<string, unknown>>
    ;(file[row.section] ??= {})[row.key] = row.form.write(values[row.field])
  }
  // Aliases are refused on reading; long lines stay whole, since folding is hard to read and to grep.
  const options = { version: '1.2', schema: 'core', aliasDuplicateObjects: false, lineWidth: 0 } as const
  const keys = Object.fromEntries(
    Object.entries(config.keys).map(([name, entry]) => [name, masked(written(entry))]),
  )
  return stringify({ ...file, primary: config.primary, keys }, options)
}
