/** How does a fixture start a daemon, wait for it, and end it? */
import { spawn, type ChildProcess } from 'node:child_process'
import { connect, type NetConnectOpts } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** PATH, and where Debian keeps daemons: not every user looks there. */
export const commandPath = `${process.env['PATH'] ?? '/usr/bin:/bin'}:/usr/sbin`

const DEADLINE_MS = 30_000
const GRACE_MS = 5_000
const POLL_MS = 20

export interface DaemonOptions {
  readonly env?: Readonly<Record<string, string>>
  /** Of its user and group; ours without it. */
  readonly uid?: number
}

/** A daemon that stays in the foreground. It leads a process group, and dies with us even where we are killed. */
export function startDaemon(
  command: string,
  words: readonly string[],
  options: DaemonOptions = {},
): ChildProcess {
  const { env, uid } = options
  const user = uid === undefined ? [] : [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
  return spawn('setpriv', ['--pdeathsig=KILL', ...user, command, ...words], {
    env: { ...process.env, PATH: commandPath, ...env },
    stdio: 'ignore',
    detached: true,
  })
}

/** Waits for a condition; gives up early when the daemon that should bring it about has ended. */
export async function until(
  what: string,
  daemon: ChildProcess,
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  while (!(await isSo())) {
    if (!isRunning(daemon)) throw new Error(`it ended before ${what}: ${daemon.spawnargs.join(' ')}`)
    if (performance.now() > deadline) throw new Error(`not within ${DEADLINE_MS} ms: ${what}`)
    await sleep(POLL_MS)
  }
}

/** SIGTERM, which lets it clean up, and SIGKILL where that does not help. */
export async function endDaemon(daemon: ChildProcess): Promise<void> {
  if (!isRunning(daemon)) return
  const ended = new Promise((resolve) => daemon.once('exit', resolve))
  const kill = setTimeout(() => signalGroup(daemon, 'SIGKILL'), GRACE_MS)
  signalGroup(daemon, 'SIGTERM')
  // A stopped process takes no SIGTERM.
  signalGroup(daemon, 'SIGCONT')
  await ended
  clearTimeout(kill)
}

/** Sends to the daemon and to the children that it has forked. */
export function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch {
    // All have ended.
  }
}

/** Whether something listens there. */
export async function canConnect(address: NetConnectOpts): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(address, () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function isRunning({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null
}
