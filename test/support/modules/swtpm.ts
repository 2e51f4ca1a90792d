/** How does a fixture get a TPM in software, on two loopback ports? */
import type { ChildProcess } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { canConnect, endDaemon, startDaemon, until } from './daemon.js'

const HOST = '127.0.0.1'
const PORT_TRIES = 5

export interface Swtpm {
  readonly tpm: ChildProcess
  /** Takes one connection; the next port is the control port, as the client expects. */
  readonly port: number
}

/** @param dir An existing folder; its files go into a folder below it. */
export async function startSwtpm(dir: string): Promise<Swtpm> {
  const state = join(dir, 'state')
  await mkdir(state)
  for (let tries = 1; ; tries += 1) {
    const port = await freePair()
    const tpm = startDaemon('swtpm', [
      'socket',
      '--tpm2',
      ...['--tpmstate', `dir=${state}`],
      ...['--server', `type=tcp,port=${port},bindaddr=${HOST}`],
      ...['--ctrl', `type=tcp,port=${port + 1},bindaddr=${HOST}`],
      ...['--flags', 'not-need-init,startup-clear'],
    ])
    try {
      await until('the TPM listens', tpm, async () => canConnect({ host: HOST, port: port + 1 }))
      return { tpm, port }
    } catch (error) {
      await endDaemon(tpm)
      // Someone may have taken a port since it was seen free.
      if (tries === PORT_TRIES) throw error
    }
  }
}

/** A free port whose next one is free too. */
async function freePair(): Promise<number> {
  for (;;) {
    const port = await listenOnce(0)
    if (port !== undefined && (await listenOnce(port + 1)) !== undefined) return port
  }
}

async function listenOnce(wanted: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(wanted, HOST, () => {
      const address = server.address()
      server.close(() => resolve(address !== null && typeof address === 'object' ? address.port : undefined))
    })
  })
}
