/** What does docs/vault.md tell people to grant and to run? Read from there, so that what it says is what is proved. */
import { readFileSync } from 'node:fs'

const DOCS = new URL('../../../docs/vault.md', import.meta.url)

/** The commands that set up key, policy and auth method, as they stand there: with `vault`, `transit` and `kek`. */
export function setupCommands(): string {
  const [, commands] = /\n## Set it up\n[^]*?```sh\n([^]*?)```/.exec(readFileSync(DOCS, 'utf8')) ?? []
  if (commands === undefined) throw new Error('docs/vault.md has no commands under "Set it up"')
  return commands
}

export interface PolicyNames {
  readonly mount: string
  readonly keyName: string
}

/** The policy in {@link setupCommands}, for a key of these names. */
export function policyFor({ mount, keyName }: PolicyNames): string {
  const [, policy] = /<<'HCL'\n([^]*?)HCL\n/.exec(setupCommands()) ?? []
  if (policy === undefined) throw new Error('docs/vault.md has no policy under "Set it up"')
  return policy.replaceAll(/"transit\/([a-z]+)\/kek"/g, `"${mount}/$1/${keyName}"`)
}

/** Its stanzas. */
export function linesOf(policy: string): readonly string[] {
  return policy.match(/path "[^"]+"\s*\{[^}]*\}/g) ?? []
}
