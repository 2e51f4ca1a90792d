/** The load generator as the scenarios use it. */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { joinMessages, splitMessages } from '../client/messages_file.mjs'
import { v1, v2 } from './kms_messages.mjs'
import { CPU, Process } from './processes.mjs'

export class Load {
  /** `node` or `grpc-go`. */
  client
  #process
  #lines
  #folder
  #files = 0

  /** @param words The command that starts it. */
  constructor(client, words, folder) {
    this.client = client
    this.#folder = folder
    this.#process = new Process(words, { cpu: CPU.rest })
    this.#lines = createInterface({ input: this.#process.stdout })
  }

  /**
   * Makes calls; fails when one of them fails or is answered with other bytes than expected.
   *
   * @param requests Of {@link save}.
   * @param pace `{inFlight, calls?, durationMs?}` or `{ratePerSecond, calls}`; `mayFail` counts failures only.
   */
  async run(subject, path, requests, pace) {
    const cpuBeforeMs = subject.process.cpuMs()
    const result = await this.#ask({ socket: subject.socket, path, ...requests, ...pace })
    const cpuMs = subject.process.cpuMs() - cpuBeforeMs
    if (result.errors > 0 && pace.mayFail !== true) {
      throw new Error(
        `${subject.name}: ${result.errors} of ${result.calls} calls failed: ${result.firstError}\n${subject.process.stderr}`,
      )
    }
    return {
      ...result,
      perSecond: result.calls / result.seconds,
      cpuUsPerCall: (cpuMs * 1000) / result.calls,
      clientShare: result.clientCpuMs / 1000 / result.seconds,
    }
  }

  /** Writes messages, and the answers that must come back, where the generator finds them. */
  save(messages, answers) {
    const requests = this.#write(messages)
    return answers === undefined ? { requests } : { requests, answers: this.#write(answers) }
  }

  /**
   * Encrypts each plaintext once and answers the requests that open them again, with the answers that must come.
   *
   * @param stride Puts those that were encrypted so far apart beside each other: with as many as a DEK seals,
   * neighbours have different DEKs.
   */
  async sealed(subject, { path, api = 'v2', plaintexts, inFlight = 8, stride = 1 }) {
    const { encrypt, decrypt, decrypted } = api === 'v2' ? v2 : v1
    const keep = join(this.#folder, `kept-${this.#files++}`)
    const requests = this.save(plaintexts.map(encrypt))
    await this.run(subject, path, { ...requests, keep }, { inFlight, calls: plaintexts.length })
    const answers = splitMessages(readFileSync(keep))
    const order = plaintexts.map((_, index) => index).sort((a, b) => (a % stride) - (b % stride))
    return this.save(
      order.map((index) => decrypt(answers[index])),
      order.map((index) => decrypted(plaintexts[index])),
    )
  }

  async close() {
    await this.#process.kill()
  }

  #write(messages) {
    const file = join(this.#folder, `messages-${this.#files++}`)
    writeFileSync(file, joinMessages(messages))
    return file
  }

  async #ask(command) {
    this.#process.stdin.write(`${JSON.stringify(command)}\n`)
    const ended = this.#process.exited.then(() => {
      throw new Error(`the load generator ended: ${this.#process.stderr}`)
    })
    const [line] = await Promise.race([once(this.#lines, 'line'), ended])
    const result = JSON.parse(line)
    if (result.problem !== undefined) throw new Error(`the load generator: ${result.problem}`)
    return result
  }
}
