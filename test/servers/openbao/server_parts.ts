/** What does an OpenBao server of a test need on the disk: certificates, ports and its config file? */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { makeAuthority, PrivateFiles, type Authority } from '../../support/certificates.js'
import { freePort } from '../../support/plugin.js'

/** `memory` starts in a blink and forgets all when it ends; `disk` (raft) outlives its process. */
export type Storage = 'memory' | 'disk'

export interface Parts {
  readonly files: PrivateFiles
  readonly authority: Authority
  readonly port: number
  readonly configFile: string
}

export async function makeParts(storage: Storage): Promise<Parts> {
  const files = new PrivateFiles()
  const authority = await makeAuthority()
  const { cert, key } = await authority.issue()
  files.write('ca.pem', authority.cert)
  const [port, clusterPort] = [await freePort(), await freePort()]
  const data = join(files.folder, 'data')
  mkdirSync(data, { mode: 0o700 })
  const tcp = {
    address: `127.0.0.1:${port}`,
    cluster_address: `127.0.0.1:${clusterPort}`,
    tls_cert_file: files.write('server.pem', cert),
    tls_key_file: files.write('server.key', key),
  }
  const config = {
    listener: [{ tcp }],
    // The multiplier: one node alone need not wait long for its own election.
    storage:
      storage === 'memory'
        ? { inmem: {} }
        : { raft: { path: data, node_id: 'one', performance_multiplier: 1 } },
    api_addr: `https://127.0.0.1:${port}`,
    cluster_addr: `https://127.0.0.1:${clusterPort}`,
    ui: false,
    log_level: 'info',
  }
  return { files, authority, port, configFile: files.write('bao.json', JSON.stringify(config)) }
}
