/** The programs that this one replaces, as the Go module proxy has them, or why they cannot be had here. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'

const BUILD_TIMEOUT_MS = 900_000

interface Source {
  /** As `go install` takes it; `undefined`: its module has no name that a proxy could know. */
  readonly module: string | undefined
  /** The file that `go install` makes. */
  readonly file: string
  /** Names a program that is there already, such as of another version. */
  readonly variable: string
}

export const sources = {
  'aws-encryption-provider': {
    module: 'sigs.k8s.io/aws-encryption-provider/cmd/server@6d4f71e96480b186ff19ea3c1ba4f9d90c2b6b9e',
    file: 'server',
    variable: 'AWS_ENCRYPTION_PROVIDER_BIN',
  },
  'vault-kubernetes-kms': {
    module: 'github.com/FalcoSuessgott/vault-kubernetes-kms@v1.4.0',
    file: 'vault-kubernetes-kms',
    variable: 'VAULT_KUBERNETES_KMS_BIN',
  },
  'okms-k8s-encryption-provider': {
    module: undefined,
    file: 'okms-k8s-encryption-provider',
    variable: 'OKMS_K8S_ENCRYPTION_PROVIDER_BIN',
  },
} as const satisfies Record<string, Source>

export type PeerName = keyof typeof sources

/** The path of the program, built once. Go checks the module against its public log of checksums. */
export function programOf(name: PeerName): { readonly path: string } | { readonly missing: string } {
  const { module, file, variable } = sources[name] as Source
  const named = process.env[variable]
  if (named !== undefined && named !== '') return { path: named }
  if (module === undefined) {
    return { missing: `the program ${name} is of a module without an address; ${variable} may name it` }
  }
  const version = module.split('@').at(-1)?.slice(0, 12) ?? ''
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const folder = join(cache, 'kmsplugin', `${name}-${version}`)
  const path = join(folder, file)
  if (existsSync(path)) return { path }
  try {
    install(module, folder, file)
    return { path }
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string }
    if (code === 'ENOENT') return { missing: `the program ${name} takes Go, which is not installed` }
    const why = (stderr ?? '').trim().split('\n').at(-1)?.trim() ?? ''
    return { missing: `the program ${name} cannot be had here: ${why}; ${variable} may name it` }
  }
}

/** Beside its place first, so that two runs at once do not see half of it. */
function install(module: string, folder: string, file: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const draft = mkdtempSync(join(folder, 'draft-'))
  try {
    const env = { ...process.env, GOBIN: draft, GOTOOLCHAIN: 'local', CGO_ENABLED: '0', GOFLAGS: '' }
    const options = {
      cwd: tmpdir(),
      env,
      timeout: BUILD_TIMEOUT_MS,
      encoding: 'utf8',
      stdio: 'pipe',
    } as const
    execFileSync('go', ['install', module], options)
    renameSync(join(draft, file), join(folder, file))
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
}
