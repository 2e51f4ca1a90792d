/** How does a test use a token without any of the plugin's code? */
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { TokenAccess } from '../token_objects.js'

const DEADLINE_MS = 30_000

export type Strategy = 'aes-gcm' | 'aes-kw' | 'aes-kwp' | 'aes-cbc' | 'rsa-oaep-sha256' | 'rsa-oaep-sha1'

/** What the module answered instead of CKR_OK. */
export class ModuleError extends Error {
  /** The CKR code; NaN when it was no answer of the module. */
  readonly rv: number

  constructor(rv: number, message: string) {
    super(message)
    this.rv = rv
  }
}

/** A process of its own with the module loaded. */
export class TokenSession {
  readonly #child: ChildProcess
  #calls = 0

  constructor(token: TokenAccess) {
    const { module, libraryParameters, tokenLabel, pin } = token
    const script = fileURLToPath(new URL('./token_session.mjs', import.meta.url))
    this.#child = fork(script, [JSON.stringify({ module, libraryParameters, tokenLabel, pin })], {
      env: { ...process.env, ...token.env },
      execArgv: [],
    })
  }

  /** C_Initialize, one session, C_Login. */
  async start(): Promise<void> {
    await this.#call('start')
  }

  /** C_Finalize. */
  async end(): Promise<void> {
    await this.#call('end')
  }

  /** C_GetSlotList. */
  async countSlots(): Promise<number> {
    return this.#call('countSlots')
  }

  /** Encrypts and decrypts 32 bytes. @returns How many bytes C_Encrypt gave. */
  async roundTrip(strategy: Strategy, label: string): Promise<number> {
    return this.#call('roundTrip', { strategy, label })
  }

  /** Signs and verifies with HMAC-SHA-256. @returns How many bytes C_Sign gave. */
  async hmac(label: string): Promise<number> {
    return this.#call('hmac', { label })
  }

  /** Ends the process, whatever it is doing. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }

  async #call(command: string, words: Readonly<Record<string, string>> = {}): Promise<number> {
    const id = ++this.#calls
    const child = this.#child
    return new Promise((resolve, reject) => {
      const done = (finish: () => void): void => {
        clearTimeout(deadline)
        child.off('message', onMessage)
        child.off('exit', onExit)
        finish()
      }
      const onExit = (): void => done(() => reject(new Error(`the process ended during ${command}`)))
      const onMessage = (answer: Answer): void => {
        if (answer.id !== id) return
        const { message } = answer
        if (message === undefined) done(() => resolve(answer.value ?? 0))
        else done(() => reject(new ModuleError(answer.rv ?? NaN, message)))
      }
      const deadline = setTimeout(() => {
        done(() => reject(new Error(`no answer to ${command} within ${DEADLINE_MS} ms`)))
      }, DEADLINE_MS)
      child.on('message', onMessage)
      child.on('exit', onExit)
      child.send({ id, command, words })
    })
  }
}

interface Answer {
  readonly id: number
  readonly value?: number
  readonly rv?: number | null
  readonly message?: string
}
