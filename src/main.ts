/** The edge of the process: arguments, signals, exit codes. The only file that knows `process`, but for the HSM child. */
import { readFileSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { isatty } from 'node:tty'
import { setFlagsFromString } from 'node:v8'
import type { CliIo, CliServices, Served } from './adapters/cli/index.js'
import type * as Container from './container.js'
import type { Graph } from './container.js'
import type { Config } from './ports/config.js'
import { asKmsError } from './ports/errors.js'
import type { Host } from './ports/host.js'

const LOG_FD = 2
const EXIT_INTERNAL = 70
const EXIT_CONFIG = 78

harden()
void main()

async function main(): Promise<void> {
  const { calledBy, runCli } = await import('./adapters/cli/index.js')
  const container = await import('./container.js')
  const [, program = '', ...argv] = process.argv
  process.exitCode = await runCli(calledBy(program, argv), makeIo(), makeServices(container, describeHost()))
  // What is left open after a command (a timer of a library) must not hold the process.
  await written(process.stdout)
  await written(process.stderr)
  process.exit()
}

/** Before any library loads, since some read their variables then. */
function harden(): void {
  // They would put requests, errors and the password of a proxy into the output: GRPC_TRACE and its kin, DEBUG.
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('GRPC_') || name === 'DEBUG') Reflect.deleteProperty(process.env, name)
  }
  // Node.js has read these before us, and prints the bytes of requests and answers.
  for (const name of ['NODE_DEBUG', 'NODE_DEBUG_NATIVE']) {
    if ((process.env[name] ?? '') === '') continue
    process.stderr.write(`kmsplugin: ${name} is set, so Node.js would print plaintext; unset it\n`)
    process.exit(EXIT_CONFIG)
  }
  if (process.env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    process.stderr.write(
      'kmsplugin: NODE_TLS_REJECT_UNAUTHORIZED is 0, so any server would be believed; unset it\n',
    )
    process.exit(EXIT_CONFIG)
  }
  // The AWS SDK would put a text about the age of this Node.js between the log lines.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true'
  process.umask(0o077)
  try {
    // No memory in core files (core(5)): they would hold DEKs.
    writeFileSync('/proc/self/coredump_filter', '0x0')
  } catch {
    // Not Linux, or no such right: the docs say to switch core files off as well.
  }
  outliveReaders('stdout')
  outliveReaders('stderr')
}

/**
 * A reader of our output that goes away must not end us. Node.js makes the stream when it is first asked for, which
 * takes milliseconds that a start has no use for; so it is heard from then on.
 */
function outliveReaders(name: 'stdout' | 'stderr'): void {
  const made = Object.getOwnPropertyDescriptor(process, name)
  let stream: NodeJS.WriteStream | undefined
  const get = () => (stream ??= (made?.get?.call(process) as NodeJS.WriteStream).on('error', () => undefined))
  Object.defineProperty(process, name, { configurable: true, enumerable: true, get })
}

function describeHost(): Host {
  const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    version: string
  }
  return {
    version,
    nodeVersion: process.version,
    pid: process.pid,
    uid: process.geteuid?.() ?? -1,
    env: process.env,
    logFd: LOG_FD,
    logIsTty: isatty(LOG_FD),
  }
}

function makeIo(): CliIo {
  return {
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
    readStdin: async () => buffer(process.stdin),
    readFile: async (path) => readFile(path),
    env: process.env,
    isTty: isatty(0),
  }
}

function makeServices(container: typeof Container, host: Host): CliServices {
  /** Commands print their findings themselves. */
  const graphForCommand = (config: Config): Graph => {
    const quiet: Config = { ...config, log: { ...config.log, level: 'error' } }
    return container.buildGraph(quiet, host, { isCommand: true })
  }
  return {
    version: host.version,
    configSource: async () => Promise.resolve(container.createConfig()),
    explainer: async () => Promise.resolve(container.createExplainer()),
    kmsClient: async (socket) => Promise.resolve(container.createKmsClient(socket)),
    preflight: async (config) => graphForCommand(config).preflight(),
    keyMaker: async (config) => graphForCommand(config).keyMaker(),
    keyNames: async (config) => graphForCommand(config).keyNames(),
    serve: async (served) => serve(container, host, served),
  }
}

async function serve(container: typeof Container, host: Host, served: Served): Promise<number> {
  const { configs, origin, notices, env } = served
  const graph = container.buildServing(configs, { ...host, env: { ...host.env, ...env } })
  const { logger } = graph
  logger.info('starting', {
    version: host.version,
    node: host.nodeVersion,
    pid: host.pid,
    config: origin,
  })
  for (const { path, line, text } of notices) logger.warn(text, { setting: path, line })
  const plugin = await graph.plugin()
  const ended = new Promise<number>((resolve) => {
    const stop = (reason: string, exitCode: number) => {
      plugin.stop(reason).then(
        () => resolve(exitCode),
        (error: unknown) => {
          logger.error('the stop failed', { reason: asKmsError(error).message })
          resolve(EXIT_INTERNAL)
        },
      )
    }
    process.on('SIGTERM', () => stop('SIGTERM', 0))
    process.on('SIGINT', () => stop('SIGINT', 0))
    process.on('SIGHUP', () =>
      logger.warn('SIGHUP changes nothing: restart the plugin to read its configuration'),
    )
    // Without a listener Node opens its debugger.
    process.on('SIGUSR1', () => logger.warn('SIGUSR1 changes nothing'))
    const crash = (error: unknown) => {
      if (isLateAnswer(error)) {
        logger.debug('a caller went away before it was answered')
        return
      }
      logger.error('a bug: the plugin stops', { reason: error instanceof Error ? error.message : 'no Error' })
      stop('bug', EXIT_INTERNAL)
    }
    process.on('uncaughtException', crash)
    process.on('unhandledRejection', crash)
  })
  try {
    await plugin.start()
    growHeapSlowly()
    return await ended
  } catch (error) {
    // A signal came while it waited for the socket.
    if (asKmsError(error).code === 'ERR_SHUTTING_DOWN') return await ended
    await plugin.stop('it did not start')
    throw error
  } finally {
    logger.flush()
  }
}

/**
 * V8 lets the heap grow to several times of what is in use before it looks for garbage. Half as much again is
 * enough here: after a million calls that is 30 MB less, for some 5 % more time in the collector.
 *
 * Once the program is loaded: code caches are for the flags of V8, ours and the one that Node.js has of its own
 * modules, and a start without that one takes 20 ms more. The size of the young generation is settled before any
 * JavaScript runs: `--max-semi-space-size`, which the image and the unit set.
 */
function growHeapSlowly(): void {
  setFlagsFromString('--heap-growing-percent=50')
}

/**
 * Thrown out of the event loop by grpc-js, which answers an unknown method or content type without looking whether
 * its caller is still there. Nobody waits for that answer, and nothing else was going on.
 */
function isLateAnswer(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_HTTP2_INVALID_STREAM'
}

async function written(stream: NodeJS.WriteStream): Promise<void> {
  if (stream.destroyed || stream.writableLength === 0) return
  await new Promise<void>((resolve) => stream.write('', () => resolve()))
}
