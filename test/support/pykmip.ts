/** PyKMIP, a KMIP server that is not ours: Debian's python3-pykmip, started for one test on loopback. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { connect } from 'node:tls'
import { makeAuthority, PrivateFiles, type Authority } from './certificates.js'
import { KmipAdmin } from './kmip_admin.js'

const PROGRAM = '/usr/bin/pykmip-server'

/** Why PyKMIP cannot be had here; `undefined` where it can. */
export const pykmipMissing = existsSync(PROGRAM)
  ? undefined
  : 'PyKMIP is missing: install the Debian package python3-pykmip'

const START_TIMEOUT_MS = 40_000

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
  // A group of its own: the server's helpers outlive a signal to it alone.
  const child = spawn(PROGRAM, ['-f', config, '-l', `${files.folder}/log`], {
    detached: true,
    stdio: 'ignore',
    env: { PATH: '/usr/bin:/bin' },
  })
  const exited = once(child, 'exit')
  const close = async (): Promise<void> => {
    kill(child)
    await exited
    files.remove()
  }
  try {
    await untilServing(port, { ca: authority.cert, ...client }, child)
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

function kill(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  process.kill(-child.pid, 'SIGKILL')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function untilServing(
  port: number,
  tls: { readonly ca: string; readonly cert: string; readonly key: string },
  child: ChildProcess,
): Promise<void> {
  const endMs = Date.now() + START_TIMEOUT_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`PyKMIP ended with ${child.exitCode}`)
    const socket = connect({ host: '127.0.0.1', port, ...tls })
    try {
      await once(socket, 'secureConnect')
      return
    } catch (error) {
      if (Date.now() > endMs) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    } finally {
      socket.destroy()
    }
  }
}
