/** A service key in the fake OVHcloud KMS, and wrappers over it, for tests of every rung. */
import type { BackendDeps } from '../../src/adapters/backends/backend.js'
import { okms } from '../../src/adapters/backends/okms/index.js'
import type { KeyWrapper } from '../../src/ports/key_wrapper.js'
import { backendDeps } from './backend_deps.js'
import { makeAuthority, PrivateFiles, type Authority } from './certificates.js'
import { FakeOkms } from './fakes/okms.js'
import type { FakeServiceKey } from './fakes/okms_keys.js'

/** Where the certificate of a client stands, as settings name it. */
export type ClientFiles = Readonly<Record<'clientCertFile' | 'clientKeyFile', string>>

export async function writeClient(
  authority: Authority,
  files: PrivateFiles,
  commonName = 'kmsplugin',
): Promise<ClientFiles> {
  const { cert, key } = await authority.issue({ commonName })
  const clientCertFile = files.write(`${commonName}.pem`, cert)
  return { clientCertFile, clientKeyFile: files.write(`${commonName}.key`, key) }
}

export class OkmsSubject {
  readonly fake: FakeOkms
  readonly key: FakeServiceKey
  readonly files: PrivateFiles
  readonly authority: Authority
  readonly client: ClientFiles
  readonly #caFile: string
  readonly #opened: KeyWrapper[] = []

  private constructor(fake: FakeOkms, authority: Authority, files: PrivateFiles, client: ClientFiles) {
    this.fake = fake
    this.key = fake.addKey()
    this.files = files
    this.authority = authority
    this.client = client
    this.#caFile = files.write('ca.pem', authority.cert)
  }

  static async start(): Promise<OkmsSubject> {
    const authority = await makeAuthority()
    const files = new PrivateFiles()
    const fake = await FakeOkms.start({ ...(await authority.issue()), ca: authority.cert })
    return new OkmsSubject(fake, authority, files, await writeClient(authority, files))
  }

  /** @param change `keyId: undefined` beside a `keyLabel`. */
  settings(change: Record<string, unknown> = {}) {
    return okms.settings.parse({
      backend: 'okms',
      url: this.fake.server.url,
      okmsId: this.fake.okmsId,
      keyId: this.key.id,
      caFile: this.#caFile,
      ...this.client,
      ...change,
    })
  }

  open(change: Record<string, unknown> = {}, deps: Partial<BackendDeps> = {}): KeyWrapper {
    const wrapper = okms.open(this.settings(change), backendDeps(deps))
    this.#opened.push(wrapper)
    return wrapper
  }

  async close(): Promise<void> {
    await Promise.all(this.#opened.map(async (wrapper) => wrapper.close()))
    await this.fake.close()
    this.files.remove()
  }
}

/** Settings of a key that is named by its label. */
export function byLabel(keyLabel = 'kubernetes'): Record<string, unknown> {
  return { keyId: undefined, keyLabel }
}
