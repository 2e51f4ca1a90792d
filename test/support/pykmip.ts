/** PyKMIP, a KMIP server that is not ours: Debian's python3-pykmip, started for one test on loopback. */
import { once } from 'node:events'
import { existsSync, mkdirSync } from 'node:fs'
import { makeAuthority, PrivateFiles, type Authority } from './certificates.js'
import { KmipAdmin } from './kmip_admin.js'
import { canConnect, signalGroup, startDaemon, until } from './modules/daemon.js'
import { freePort } from './plugin.js'

const PROGRAM = '/usr/bin/pykmip-server'

/** Why PyKMIP cannot be had here; `undefined` where it can. */
export const pykmipMissing = existsSync(PROGRAM)
  ? undefined
  : 'PyKMIP is missing: install the Debian package python3-pykmip'

export interface PyKmip {
  readonly port: number
  readonly authority: Authority
  readonly files: PrivateFiles
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

/** A server of its own, with an empty store, and a client that it knows as `kmsplugin`. */
export async function startPyKmip(): Promise<PyKmip> {
  const authority = await makeAuthority()
  const files = new PrivateFiles()
  const server = await authority.issue()
  const client = await authority.issue({ commonName: 'kmsplugin' })
  const caFile = files.write('ca.pem', authority.cert)
  const clientCertFile = files.write('client.pem', client.cert)
  const clientKeyFile = files.write('client.key', client.key)
  const port = await freePort()
  mkdirSync(`${files.folder}/policies`)
  const config = files.write(
    'server.conf',
    [
      '[server]',
      'hostname=127.0.0.1',
      `port=${port}`,
      `certificate_path=${files.write('server.pem', server.cert)}`,
      `key_path=${files.write('server.key', server.key)}`,
      `ca_path=${caFile}`,
      'auth_suite=TLS1.2',
      `policy_path=${files.folder}/policies`,
      'enable_tls_client_auth=True',
      'logging_level=ERROR',
      `database_path=${files.folder}/store.sqlite`,
    ].join('\n'),
  )
  const daemon = startDaemon(PROGRAM, ['-f', config, '-l', `${files.folder}/log`])
  const ended = once(daemon, 'exit')
  const close = async (): Promise<void> => {
    // SIGTERM does not free its port for seconds.
    signalGroup(daemon, 'SIGKILL')
    await ended
    files.remove()
  }
  try {
    await until('PyKMIP listens', daemon, async () => canConnect({ host: '127.0.0.1', port }))
  } catch (error) {
    await close()
    throw error
  }
  return {
    port,
    authority,
    files,
    admin: new KmipAdmin({ port, ca: authority.cert, client }),
    settings: { backend: 'kmip', address: `127.0.0.1:${port}`, caFile, clientCertFile, clientKeyFile },
    close,
  }
}
