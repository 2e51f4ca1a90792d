/** A KMIP server built on ovh/kmip-go, the library of OVHcloud: compiled once, started for one test on loopback. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { makeAuthority, PrivateFiles } from '../../support/certificates.js'
import { KmipAdmin } from '../../support/kmip_admin.js'

const SOURCES = import.meta.dirname
const BINARY = join(SOURCES, '../../../node_modules/.cache/kmsplugin/kmip-go-server')
const TIMEOUT_MS = 600_000

/** Exactly the pinned module, with the Go that is installed. */
const GO = { GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' }

/** Why it cannot be had here; `undefined`: it is built. Throws where all is there and it does not compile. */
export const kmipGoMissing = missing()

function missing(): string | undefined {
  const wanted = /^go (\S+)$/m.exec(readFileSync(join(SOURCES, 'go.mod'), 'utf8'))?.[1] ?? ''
  try {
    // Not in the sources: there an older Go only complains about go.mod.
    const found = go(['env', 'GOVERSION'], tmpdir()).trim().replace(/^go/, '')
    if (isOlder(found, wanted)) return `Go ${found} is too old: it takes Go ${wanted} or newer`
  } catch {
    return `Go is not installed: it takes Go ${wanted} or newer`
  }
  try {
    go(['mod', 'download'], SOURCES)
  } catch {
    return 'the Go module ovh/kmip-go cannot be had here'
  }
  mkdirSync(dirname(BINARY), { recursive: true })
  go(['build', '-buildvcs=false', '-o', BINARY, '.'], SOURCES)
  return undefined
}

function go(args: readonly string[], cwd: string): string {
  const env = { ...process.env, ...GO }
  return execFileSync('go', args, { cwd, env, timeout: TIMEOUT_MS, encoding: 'utf8', stdio: 'pipe' })
}

function isOlder(found: string, wanted: string): boolean {
  const numbers = (version: string) => version.split(/[^0-9]+/).map(Number)
  const [a, b] = [numbers(found), numbers(wanted)]
  const at = b.findIndex((part, i) => (a[i] ?? 0) !== part)
  return at !== -1 && (a[at] ?? 0) < (b[at] ?? 0)
}

export interface KmipGo {
  readonly admin: KmipAdmin
  /** Settings of a key but its name. */
  readonly settings: {
    readonly backend: 'kmip'
    readonly address: string
    readonly caFile: string
    readonly clientCertFile: string
    readonly clientKeyFile: string
  }
  readonly close: () => Promise<void>
}

/** @param flags Of the program: `-versions 1.3 -append-tag`. It speaks TLS 1.3 only. */
export async function startKmipGo(...flags: readonly string[]): Promise<KmipGo> {
  const authority = await makeAuthority()
  const files = new PrivateFiles()
  const server = await authority.issue()
  const client = await authority.issue({ commonName: 'kmsplugin' })
  const caFile = files.write('ca.pem', authority.cert)
  const cert = files.write('server.pem', server.cert)
  const key = files.write('server.key', server.key)
  // It ends when its stdin does, so it never outlives us.
  const child = spawn(BINARY, ['-cert', cert, '-key', key, '-ca', caFile, ...flags], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  const [line] = (await Promise.race([once(createInterface(child.stdout), 'line'), ended])) as [unknown]
  const port = Number(line)
  if (!(port > 1023)) throw new Error(`the server did not start: ${String(line)}`)
  return {
    admin: new KmipAdmin({ port, ca: authority.cert, client }),
    settings: {
      backend: 'kmip',
      address: `127.0.0.1:${port}`,
      caFile,
      clientCertFile: files.write('client.pem', client.cert),
      clientKeyFile: files.write('client.key', client.key),
    },
    close: async () => {
      child.stdin.end()
      await ended
      files.remove()
    },
  }
}
