/** What may a token do at a path? */

export type Capability = 'create' | 'read' | 'update' | 'delete' | 'list' | 'sudo' | 'deny'
/** By path; one that ends with `*` stands for all that begin so. The longest fitting one decides. */
export type Policy = Readonly<Record<string, readonly Capability[]>>

/** What every token may do unless it was made without it. */
const byDefault: Policy = {
  'auth/token/lookup-self': ['read'],
  'auth/token/renew-self': ['update'],
  'auth/token/revoke-self': ['update'],
  'sys/capabilities-self': ['update'],
}

export class Policies {
  readonly #all = new Map<string, Policy>([['default', byDefault]])

  set(name: string, policy: Policy): void {
    this.#all.set(name, policy)
  }

  /** As `sys/capabilities-self` answers: `root` alone for a root token, `deny` alone for nothing. */
  capabilities(names: readonly string[], path: string): readonly string[] {
    if (names.includes('root')) return ['root']
    const fits = names.flatMap((name) =>
      Object.entries(this.#all.get(name) ?? {}).filter(([pattern]) => matches(pattern, path)),
    )
    const longest = Math.max(...fits.map(([pattern]) => pattern.length))
    const granted = new Set(
      fits.filter(([pattern]) => pattern.length === longest).flatMap(([, capabilities]) => capabilities),
    )
    if (granted.size === 0 || granted.has('deny')) return ['deny']
    return [...granted].sort()
  }

  allows(names: readonly string[], path: string, capability: Capability): boolean {
    const granted = this.capabilities(names, path)
    return granted.includes('root') || granted.includes(capability)
  }
}

function matches(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : path === pattern
}
