/** A `KmsService` that does what each test tells it, on a real gRPC server in a folder of its own. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GrpcServer, type GrpcServerOptions } from '../../../src/adapters/grpc/server.js'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import { keyId } from '../../../src/ports/key_id.js'
import type { CallOptions } from '../../../src/ports/key_wrapper.js'
import type { KmsService } from '../../../src/ports/kms_service.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { RecordingMetrics } from '../../doubles/recording_metrics.js'
import { KmsClient } from '../../support/kms_client.js'

export const fakeKeyId = keyId(`fake:${'a'.repeat(26)}.${'b'.repeat(26)}`)

/** Answers in the clear; tests replace what they are about. */
export class FakeService implements KmsService {
  encrypt: KmsService['encrypt'] = async (plaintext) =>
    Promise.resolve({ ciphertext: Buffer.from(plaintext), keyId: fakeKeyId })
  decrypt: KmsService['decrypt'] = async ({ ciphertext }) => Promise.resolve(Uint8Array.from(ciphertext))
  status: KmsService['status'] = () => ({ keyId: fakeKeyId })
}

/** Settles with the call's options once the fake was asked; the fake does not answer before `release`. */
export function heldDecrypt(service: FakeService): { asked: Promise<CallOptions>; release: () => void } {
  let release!: () => void
  const released = new Promise<void>((resolve) => (release = resolve))
  const asked = new Promise<CallOptions>((resolve) => {
    service.decrypt = async (_request, options) => {
      resolve(options)
      await released
      return Buffer.from('late')
    }
  })
  return { asked, release }
}

export class TestServer {
  readonly folder = mkdtempSync(join(tmpdir(), 'kms-grpc-'))
  readonly socket = join(this.folder, 'run', 'kms.sock')
  readonly service = new FakeService()
  readonly logger = new RecordingLogger()
  readonly metrics = new RecordingMetrics()
  /** `log.allValues`. */
  logAll = false
  readonly #servers: GrpcServer[] = []
  readonly #clients: KmsClient[] = []

  make(options: Partial<GrpcServerOptions> = {}): GrpcServer {
    const server = new GrpcServer(
      this.service,
      {
        socket: this.socket,
        permissions: { mode: 0o600, gid: undefined },
        kmsV1: true,
        drainTimeoutMs: 1000,
        version: '0.0.0',
        pid: process.pid,
        uid: process.getuid?.() ?? -1,
        ...options,
      },
      { clock: createSystemClock(), logger: this.logger, metrics: this.metrics, logAll: this.logAll },
    )
    this.#servers.push(server)
    return server
  }

  async start(options?: Partial<GrpcServerOptions>): Promise<GrpcServer> {
    const server = this.make(options)
    await server.start()
    return server
  }

  connect(timeoutMs?: number): KmsClient {
    const client = new KmsClient(this.socket, timeoutMs)
    this.#clients.push(client)
    return client
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.close()
    await Promise.all(this.#servers.map(async (server) => server.stop()))
    rmSync(this.folder, { recursive: true, force: true })
  }
}
