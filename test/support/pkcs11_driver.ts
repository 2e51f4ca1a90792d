/** How does a test call a PKCS#11 module directly? In another process, since the module may hang or crash. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What the module answered when it was not CKR_OK. */
export class Ckr extends Error {
  readonly rv: number
  constructor(rv: number, text: string) {
    super(text)
    this.rv = rv
  }
}

type Handle = Uint8Array

export interface Template {
  readonly type: number
  readonly value?: unknown
}

interface Answer {
  readonly id: number
  readonly value?: unknown
  readonly rv?: number
  readonly text?: string
}

/** One process with the module loaded; the caller closes it. */
export class Pkcs11Driver {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #last = 0

  constructor(module: string, env: Readonly<Record<string, string>>) {
    const script = fileURLToPath(new URL('./pkcs11_driver.mjs', import.meta.url))
    this.#child = fork(script, [module], {
      env: { ...process.env, ...env },
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    this.#child.on('message', (answer: Answer) => this.#waiting.get(answer.id)?.(answer))
  }

  /** The signal that ended it; it must be ending. */
  async ended(): Promise<NodeJS.Signals | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
    return this.#child.signalCode
  }

  async close(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended()
  }

  /**
   * @param thread Any number; calls of one thread wait for each other.
   * @throws {Ckr}
   */
  async on<T = unknown>(thread: number, name: string, ...args: readonly unknown[]): Promise<T> {
    const id = ++this.#last
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve)
      this.#child.send({ id, thread, name, args })
    })
    if (answer.rv !== undefined) throw new Ckr(answer.rv, answer.text ?? '')
    return answer.value as T
  }

  /** In the first thread. */
  async call<T = unknown>(name: string, ...args: readonly unknown[]): Promise<T> {
    return this.on<T>(0, name, ...args)
  }

  /** The return value: 0 is CKR_OK. */
  async rv(name: string, ...args: readonly unknown[]): Promise<number> {
    return rvOf(this.call(name, ...args))
  }

  async initialize(parameters: object = {}): Promise<void> {
    await this.call('C_Initialize', { flags: 2, ...parameters })
  }

  /** @param label Of the token. */
  async open(label: string): Promise<Handle> {
    for (const slot of await this.call<Handle[]>('C_GetSlotList', true)) {
      const info = await this.call<{ label: string }>('C_GetTokenInfo', slot)
      if (info.label.trimEnd() === label) return this.openSlot(slot)
    }
    throw new Error(`no token is called ${label}`)
  }

  /** A read-write session. */
  async openSlot(slot: Handle): Promise<Handle> {
    return this.call<Handle>('C_OpenSession', slot, 6)
  }
}

export async function rvOf(call: Promise<unknown>): Promise<number> {
  try {
    await call
    return 0
  } catch (error) {
    if (error instanceof Ckr) return error.rv
    throw error
  }
}
