/** A fake KMIP server, the files to reach it with, and wrappers over its keys, for one test. */
import { randomBytes } from 'node:crypto'
import { openWrapper } from '../../../src/adapters/backends/kmip/open.js'
import type { KmipSettings } from '../../../src/adapters/backends/kmip/settings.js'
import type { KmipKeyWrapper } from '../../../src/adapters/backends/kmip/wrapper.js'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import { DEK_BYTES, type CallOptions, type WrappedDek } from '../../../src/ports/key_wrapper.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { makeAuthority, PrivateFiles, type Authority } from '../../support/certificates.js'
import { FakeKmip, type FakeKey, type Habits } from '../../support/fakes/kmip.js'

export const clock = createSystemClock()
/** Nobody looks at the clock of a machine that is busy; a call that hangs would take for ever. */
export const GUARD_MS = 20_000

export function within(ms = GUARD_MS): CallOptions {
  return { deadlineMs: clock.nowMs() + ms, signal: AbortSignal.timeout(ms) }
}

export class Scene {
  readonly fake: FakeKmip
  readonly authority: Authority
  readonly files: PrivateFiles
  readonly key: FakeKey
  readonly dek = randomBytes(DEK_BYTES)
  readonly logger = new RecordingLogger()
  readonly #settings: Omit<KmipSettings, 'keyId' | 'keyLabel'>
  readonly #opened: KmipKeyWrapper[] = []

  private constructor(
    fake: FakeKmip,
    authority: Authority,
    files: PrivateFiles,
    settings: Omit<KmipSettings, 'keyId' | 'keyLabel'>,
  ) {
    this.fake = fake
    this.authority = authority
    this.files = files
    this.#settings = settings
    this.key = fake.addKey({ name: 'kek-1' })
  }

  static async start(habits: Habits = {}): Promise<Scene> {
    const authority = await makeAuthority()
    const files = new PrivateFiles()
    const client = await authority.issue({ commonName: 'kmsplugin' })
    const tls = { ca: authority.cert, requestCert: true, rejectUnauthorized: true }
    const fake = await FakeKmip.start({ ...(await authority.issue()), ...tls }, habits)
    return new Scene(fake, authority, files, {
      backend: 'kmip',
      address: `127.0.0.1:${fake.port}`,
      caFile: files.write('ca.pem', authority.cert),
      clientCertFile: files.write('client.pem', client.cert),
      clientKeyFile: files.write('client.key', client.key),
    })
  }

  settings(change: Partial<KmipSettings> = {}): KmipSettings {
    const named = change.keyLabel === undefined ? { keyId: this.key.uid } : {}
    return { ...this.#settings, ...named, ...change }
  }

  /** A wrapper over the first key, unless `change` names another. */
  open(change: Partial<KmipSettings> = {}, callTimeoutMs = GUARD_MS, isPrimary = true): KmipKeyWrapper {
    const deps = { key: 'kek', logger: this.logger, callTimeoutMs, isPrimary }
    const wrapper = openWrapper(this.settings(change), deps)
    this.#opened.push(wrapper)
    return wrapper
  }

  async roundTrip(wrapper: KmipKeyWrapper): Promise<WrappedDek> {
    const wrapped = await wrapper.wrap(this.dek, within())
    const back = Buffer.from(await wrapper.unwrap(wrapped, within()))
    if (!back.equals(this.dek)) throw new Error('another DEK came back')
    return wrapped
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map(async (wrapper) => wrapper.close()))
    await this.fake.close()
    this.files.remove()
  }
}

/** How a call failed. */
export async function failureOf(call: Promise<unknown>): Promise<KmsError> {
  try {
    await call
  } catch (thrown) {
    return asKmsError(thrown)
  }
  throw new Error('it did not fail')
}
