/** The gRPC server: which services stand on the socket, its limits, and how it comes and goes. */
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { setTimeout as pause } from 'node:timers/promises'
import { asKmsError, KmsError } from '../../ports/errors.js'
import type { KmsService } from '../../ports/kms_service.js'
import type { Logger } from '../../ports/logger.js'
import { kmsV1beta1 } from './kms_v1beta1.js'
import { kmsV2 } from './kms_v2.js'
import { createListener } from './listener.js'
import { kmsV1beta1Service, kmsV2Service } from './protocol.js'
import { silenceGrpc } from './quiet.js'
import { releaseLock, takeLock } from './socket_lock.js'
import {
  lockPathOf,
  prepareFolder,
  probeSocket,
  publishSocket,
  type PublishedSocket,
  type SocketPermissions,
} from './socket_path.js'
import type { UnaryDeps } from './unary.js'

export interface GrpcServerOptions {
  readonly socket: string
  readonly permissions: SocketPermissions
  readonly kmsV1: boolean
  readonly drainTimeoutMs: number
  /** The version of this program, for KMS v1. */
  readonly version: string
  readonly pid: number
  readonly uid: number
}

/** Larger than any request of kube-apiserver by far; a v1 ciphertext has at most 64 KiB. */
const MESSAGE_MAX_BYTES = 128 * 1024

/**
 * Every default of grpc-js and node:http2 is unlimited or off, but for headers: 64 KiB and 128 fields a request.
 * Keepalive is what ends half-open connections.
 */
export const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': MESSAGE_MAX_BYTES,
  'grpc.max_send_message_length': MESSAGE_MAX_BYTES,
  'grpc.max_concurrent_streams': 256,
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc-node.max_session_memory': 64,
  'grpc.enable_channelz': 0,
}

const CONNECTION_LIMITS = { maxConnections: 64, firstByteTimeoutMs: 1000 }

/** How often we look whether the socket still has its name. */
const GUARD_INTERVAL_MS = 1000

/** How often a living socket is looked at again. */
const TAKEOVER_POLL_MS = 100

export class GrpcServer {
  readonly #options: GrpcServerOptions
  readonly #logger: Logger
  readonly #server = new Server(SERVER_OPTIONS)
  readonly #injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure())
  readonly #listener = createListener(
    CONNECTION_LIMITS,
    (socket) => this.#injector.injectConnection(socket),
    (code) => this.#logger.warn('cannot accept a connection', { code }),
  )
  readonly #leaving = new AbortController()
  #published: PublishedSocket | undefined
  #started: Promise<void> | undefined
  #stopped: Promise<void> | undefined

  constructor(service: KmsService, options: GrpcServerOptions, deps: UnaryDeps) {
    silenceGrpc()
    this.#options = options
    this.#logger = deps.logger
    this.#server.addService(kmsV2Service, kmsV2(service, deps))
    if (options.kmsV1) this.#server.addService(kmsV1beta1Service, kmsV1beta1(service, deps, options.version))
  }

  /**
   * Listens. A living plugin at the same path is waited for as long as it may drain. Safe to call again after it
   * failed.
   *
   * @throws {KmsError} `ERR_CONFIG_INVALID` when the path cannot be used; `ERR_BACKEND_UNAVAILABLE` when the other
   * one does not go; `ERR_SHUTTING_DOWN` when {@link stop} was called meanwhile.
   */
  async start(): Promise<void> {
    this.#started = this.#start()
    return this.#started
  }

  async #start(): Promise<void> {
    const { socket, uid, permissions, kmsV1 } = this.#options
    await prepareFolder(socket, uid, permissions.gid)
    try {
      await this.#takeOver()
      this.#published = await publishSocket(this.#listener.open(), socket, permissions)
    } catch (error) {
      // The path is free for others, and we may be started again.
      await this.#giveUpPath()
      throw error
    }
    this.#logger.info('listening', { socket, kmsV1 })
    void this.#guard()
  }

  /** Publishes the socket anew when somebody removed its name: kube-apiserver could not connect again. */
  async #guard(): Promise<void> {
    const { socket, permissions } = this.#options
    const { signal } = this.#leaving
    let before = 'there'
    for (;;) {
      await pause(GUARD_INTERVAL_MS, undefined, { signal, ref: false }).catch(() => undefined)
      if (signal.aborted) return
      const now = (await this.#published?.look()) ?? 'there'
      if (now === 'replaced' && before !== 'replaced') {
        this.#logger.error('another file has the name of the socket; it is left alone', { socket })
      }
      before = now
      if (now !== 'gone') continue
      try {
        this.#published = await publishSocket(this.#listener.open(), socket, permissions)
        this.#logger.warn('the socket was removed by somebody and is there again', { socket })
      } catch (error) {
        this.#logger.error('the socket was removed and cannot be made again', {
          reason: asKmsError(error).message,
        })
      }
      // The stop may have begun meanwhile.
      if (this.#leaving.signal.aborted) await this.#published?.remove()
    }
  }

  /**
   * Takes no new connection, lets pending calls finish within `drainTimeoutMs`, then cuts what is left. Removes
   * the socket only if it is still ours. Safe to call twice.
   */
  async stop(): Promise<void> {
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #stop(): Promise<void> {
    const { drainTimeoutMs } = this.#options
    // A start under way notices and ends.
    await this.#started?.catch(() => undefined)
    await this.#leave()
    // GOAWAY on every connection. Its callback is of no use: since Node.js 24 it comes before the calls have ended.
    this.#server.tryShutdown(() => undefined)
    const drained = this.#listener.close()
    const late = new AbortController()
    const timeout = pause(drainTimeoutMs, 'late', { signal: late.signal }).catch(() => 'in time')
    const outcome = await Promise.race([drained, timeout])
    late.abort()
    if (outcome === 'late') this.#logger.warn('pending calls are cut: they outlived server.drainTimeout')
    this.#server.forceShutdown()
    this.#injector.destroy()
    this.#listener.destroyAll()
  }

  /** For good. The next plugin need not wait for our last calls. */
  async #leave(): Promise<void> {
    this.#leaving.abort()
    await this.#published?.remove()
    void this.#listener.close()
    await this.#giveUpPath()
  }

  async #giveUpPath(): Promise<void> {
    await releaseLock(lockPathOf(this.#options.socket), this.#options.pid)
  }

  /** Returns when no other plugin holds the path: neither its lock nor a socket that answers. */
  async #takeOver(): Promise<void> {
    const { socket, pid, uid, drainTimeoutMs } = this.#options
    const giveUpAtMs = performance.now() + drainTimeoutMs
    let isWaiting = false
    while (this.#stopped === undefined) {
      const holder = await this.#lock(lockPathOf(socket), pid)
      const state = await probeSocket(socket, uid)
      if (holder === undefined && state !== 'living') {
        if (state === 'dead') this.#logger.info('a dead socket is replaced', { socket })
        return
      }
      if (performance.now() >= giveUpAtMs) {
        const who = holder === undefined ? 'another process answers on it' : `pid ${holder.pid} holds it`
        throw new KmsError(
          'ERR_BACKEND_UNAVAILABLE',
          `the socket ${socket} is in use: ${who}; stop that one first`,
        )
      }
      if (!isWaiting)
        this.#logger.info('waiting for another plugin to leave the socket', { socket, holder: holder?.pid })
      isWaiting = true
      await pause(TAKEOVER_POLL_MS)
    }
    throw new KmsError('ERR_SHUTTING_DOWN', `stopped while it waited for the socket ${socket}`)
  }

  async #lock(path: string, pid: number): ReturnType<typeof takeLock> {
    const holder = await takeLock(path, pid)
    return holder?.pid === pid ? undefined : holder
  }
}
