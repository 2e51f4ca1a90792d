/** What is measured: the built program, and what it is measured against. Each is a process with a socket. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Connection } from '../client/connection.mjs'
import { callFrames } from '../client/frames.mjs'
import { METHOD } from './kms_messages.mjs'
import { CPU, Process, until } from './processes.mjs'
import { ENV, FLAGS } from './shipped.mjs'

const BENCH = resolve(import.meta.dirname, '..')

export class Subject {
  /** In tables. */
  name
  process
  socket

  constructor(name, words, socket, options = {}) {
    this.name = name
    this.socket = socket
    this.process = new Process(words, { cpu: CPU.subject, ...options })
  }

  /** Returns when a Status is answered with success; to about 5 ms. */
  async ready() {
    await until(this.process, async () => (await answersStatus(this.socket)) || undefined)
  }

  async stop() {
    await this.process.stop()
    rmSync(this.socket, { force: true })
  }
}

/** Starts subjects in one folder; none keeps a socket or a file of another. */
export class Subjects {
  #folder
  #program
  #count = 0

  /** @param program The built program: its dist/main.js. */
  constructor(folder, program) {
    this.#folder = folder
    this.#program = program
  }

  /** A server of this folder: `null_echo`, `null_envelope`, or `every_call` with the address of the KMS. */
  async null(file, name, ...args) {
    const socket = join(this.#newFolder(), 'kms.sock')
    const words = [process.execPath, ...FLAGS, join(BENCH, 'subjects', `${file}.mjs`), socket, ...args]
    return this.#ready(new Subject(name, words, socket, { env: ENV }))
  }

  /** Another program that serves the socket in its first argument. */
  async program(name, words) {
    const socket = join(this.#newFolder(), 'kms.sock')
    return this.#ready(new Subject(name, [...words, socket], socket))
  }

  /** The plugin as shipped, with this config beside the socket's; see {@link launch}. */
  async plugin(config, options) {
    return this.#ready(this.launch(config, options))
  }

  /** As {@link plugin}, but answers at once. */
  launch({ server, ...config }, { name = 'kmsplugin', env, flags = [] } = {}) {
    const folder = this.#newFolder()
    const socket = join(folder, 'run', 'kms.sock')
    const file = join(folder, 'config.yaml')
    const whole = { server: { socket, ...server }, health: { address: '' }, ...config }
    writeFileSync(file, JSON.stringify(whole), { mode: 0o600 })
    const words = [process.execPath, ...flags, this.#program, 'serve', '--config', file]
    return new Subject(name, words, socket, { env: { ...ENV, ...env }, cwd: folder })
  }

  async #ready(subject) {
    try {
      await subject.ready()
      return subject
    } catch (error) {
      await subject.process.kill()
      throw error
    }
  }

  #newFolder() {
    const folder = join(this.#folder, `subject-${this.#count++}`)
    mkdirSync(folder, { mode: 0o700 })
    return folder
  }
}

/** Whether the plugin answers Status with success now. */
export async function answersStatus(socket) {
  const connection = await Connection.open(socket).catch(() => undefined)
  if (connection === undefined) return false
  try {
    return await new Promise((resolve) => {
      connection.call(callFrames(METHOD.v2Status, Buffer.alloc(0)), (message) =>
        resolve(message !== undefined),
      )
      connection.flush()
    })
  } finally {
    connection.close()
  }
}
