/** With which certificates is a service reached, now that their files may have been replaced? */
import { X509Certificate } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { createSecureContext, type ConnectionOptions, type SecureVersion } from 'node:tls'
import { asKmsError, KmsError } from '../../../ports/errors.js'
import type { Logger } from '../../../ports/logger.js'
import { errorCode, UNKNOWN_ERROR } from '../system_error.js'
import { untilAborted } from './credential.js'
import { readTrustedFile } from './trusted_file.js'

/** Paths as configured. */
export interface TlsFiles {
  readonly caFile?: string | undefined
  readonly clientCertFile?: string | undefined
  readonly clientKeyFile?: string | undefined
}

const MIN_VERSION: SecureVersion = 'TLSv1.2'

/** What the files hold, as Node.js takes it; the peer's certificate and name are always checked. */
export class TlsIdentity {
  readonly #files: TlsFiles
  readonly #logger: Logger
  #current: { readonly options: ConnectionOptions; version: string } | undefined
  #looking: Promise<ConnectionOptions> | undefined

  constructor(files: TlsFiles, logger: Logger) {
    this.#files = files
    this.#logger = logger
  }

  /**
   * The same object as before, unless one of the files has changed; while what stands there then cannot be used (a
   * certificate was replaced, its key not yet), the last one stays.
   *
   * All who ask at once share one look: of a file system that hangs, each look would hold threads that DNS needs.
   *
   * @throws {KmsError} `ERR_CONFIG_INVALID`: a file cannot be used, and none before it could;
   * `ERR_DEADLINE_EXCEEDED`: `signal` aborted first.
   */
  async options(signal: AbortSignal): Promise<ConnectionOptions> {
    this.#looking ??= this.#looked().finally(() => {
      this.#looking = undefined
    })
    return untilAborted(this.#looking, signal, 'the certificate files could not be looked at in time')
  }

  async #looked(): Promise<ConnectionOptions> {
    const version = await this.#versionOfFiles()
    if (this.#current?.version === version) return this.#current.options
    try {
      const options = await this.#read()
      this.#current = { options, version }
      return options
    } catch (error) {
      if (this.#current === undefined) throw error
      const reason = asKmsError(error).message
      this.#logger.warn('a certificate file was changed and cannot be used; the last one stays', { reason })
      this.#current.version = version
      return this.#current.options
    }
  }

  /** Differs whenever a file was written or replaced, or given another mode or owner: those may be what was wrong. */
  async #versionOfFiles(): Promise<string> {
    const { caFile, clientCertFile, clientKeyFile } = this.#files
    const parts = [caFile, clientCertFile, clientKeyFile].map(async (path) => {
      if (path === undefined) return ''
      // What is wrong with a file is said when it is read.
      const stats = await stat(path, { bigint: true }).catch(() => undefined)
      return stats === undefined
        ? 'absent'
        : [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(':')
    })
    return (await Promise.all(parts)).join(' ')
  }

  async #read(): Promise<ConnectionOptions> {
    const { caFile, clientCertFile, clientKeyFile } = this.#files
    const options: ConnectionOptions = { minVersion: MIN_VERSION, rejectUnauthorized: true }
    const ca = caFile && (await readTrustedFile(caFile, 'the CA certificates', 'anybody')).toString('latin1')
    if (ca !== undefined) options.ca = ca
    if (clientCertFile !== undefined && clientKeyFile !== undefined) {
      options.cert = await readTrustedFile(clientCertFile, 'the client certificate', 'anybody')
      options.key = await readTrustedFile(clientKeyFile, 'the key of the client certificate', 'us')
    }
    try {
      if (ca !== undefined) assertCertificates(ca)
      createSecureContext(options)
    } catch (error) {
      const paths = [caFile, clientCertFile, clientKeyFile].filter((path) => path !== undefined).join(', ')
      const text = `${paths}: no PEM certificates, or a key that is not that of the certificate (${errorCode(error) ?? UNKNOWN_ERROR})`
      throw new KmsError('ERR_CONFIG_INVALID', text)
    }
    return options
  }
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/** @throws {Error} Not PEM certificates, each of them: Node.js would trust those that it can read, or nobody. */
function assertCertificates(pem: string): void {
  const certificates = pem.match(CERTIFICATE) ?? []
  if (certificates.length === 0) throw new Error('no certificate')
  for (const certificate of certificates) new X509Certificate(certificate)
}
