/** One life of the HSM process: how it is started, spoken to and ended. Whoever starts it decides what to say. */
import { fork, type ChildProcess } from 'node:child_process'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Logger } from '../../../ports/logger.js'
import { Channel } from './shared/channel.js'
import { CHANNEL_FD, type ToHsm } from './shared/messages.js'

/** A longer line of the module's own output is cut. */
const LINE_MAX_LENGTH = 500

/** How long the kernel may take to tell how a process ended. */
const EXIT_REPORT_MS = 100

export interface HostProcessOptions {
  /** The compiled file that the process runs. */
  readonly entry: URL
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>
  /** Becomes descriptor 4 of the process. */
  readonly pinFd: number
  readonly logger: Logger
  /** A message as it came; nothing of it is checked. */
  readonly onMessage: (value: unknown) => void
  /** Called once, and never from within the constructor or {@link HostProcess.kill}. */
  readonly onEnd: (reason: string) => void
}

export class HostProcess {
  /** Resolves when the kernel has reported its end. */
  readonly exited: Promise<void>
  readonly #child: ChildProcess
  readonly #channel: Channel
  #hasEnded = false

  /** @throws {Error} when the machine has no descriptor or process left for it. */
  constructor(options: HostProcessOptions) {
    const child = fork(options.entry, {
      env: options.env,
      // Its threads make little garbage; V8's default room for it costs 20 MiB.
      execArgv: ['--max-semi-space-size=1'],
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', options.pinFd, 'ipc'],
    })
    // Only `fork` knows which binary we are, and it insists on the channel that we do not use.
    if (child.connected) child.disconnect()
    this.#child = child
    let hangUp: string | undefined
    const end = (reason: string): void => {
      if (this.#hasEnded) return
      this.kill()
      options.onEnd(hangUp === undefined ? reason : `${reason} (${hangUp})`)
    }
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        resolve()
        end(signal ?? `exit code ${code ?? 'unknown'}`)
      })
      child.on('error', (error) => {
        resolve()
        end(error.message)
      })
    })
    // Node leaves `stdio` out when it has no descriptor left for it.
    const pipe = (child.stdio as ChildProcess['stdio'] | undefined)?.[CHANNEL_FD]
    if (!(pipe instanceof Socket)) {
      this.kill()
      throw new Error('no descriptor is left for a pipe')
    }
    // The kernel tells in a moment why it ended; one that only lost its channel is killed.
    const broken = (reason: string): void => {
      hangUp = reason
      child.kill('SIGKILL')
      setTimeout(() => end('no exit code'), EXIT_REPORT_MS).unref()
    }
    this.#channel = new Channel(pipe, { message: options.onMessage, broken })
    if (child.stdout !== null) logLines(child.stdout, options.logger)
    if (child.stderr !== null) logLines(child.stderr, options.logger)
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  send(message: ToHsm): void {
    this.#channel.send(message)
  }

  /** SIGKILL: nothing less ends a process with a hung call in it. */
  kill(): void {
    this.#hasEnded = true
    this.#child.kill('SIGKILL')
  }
}

function logLines(stream: Readable, logger: Logger): void {
  let line = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const [first = '', ...rest] = text.split('\n')
    line = (line + first).slice(0, LINE_MAX_LENGTH)
    for (const next of rest) {
      if (line !== '') logger.debug('output of the HSM process', { line })
      line = next.slice(0, LINE_MAX_LENGTH)
    }
  })
  // A reader that fails must not take the plugin with it.
  stream.on('error', () => undefined)
}
