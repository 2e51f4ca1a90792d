/** A KMIP server built on ovh/kmip-go, the library of OVHcloud: compiled once, started for one test on loopback. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { makeAuthority, PrivateFiles } from '../../support/certificates.js'
import { KmipAdmin } from '../../support/kmip_admin.js'
import { goProgram } from '../go_program.js'

const program = goProgram(import.meta.dirname, '.', 'kmip-go-server')

/** Why it cannot be had here; `undefined`: it is built. */
export const kmipGoMissing = program.missing

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
  const child = spawn(program.path, ['-cert', cert, '-key', key, '-ca', caFile, ...flags], {
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
