/** A KMS on the network with a KEK in it, as an end-to-end test needs one: what stands in the config, and how it fails. */
import { makeAuthority, type Authority, PrivateFiles } from '../certificates.js'
import type { Canary } from '../canaries.js'
import type { FakeServer } from '../fakes/fake_server.js'
import { FaultProxy } from '../fault_proxy.js'
import type { Settings } from '../plugin.js'

export interface RemoteKms {
  readonly server: FakeServer
  /** The entry under `keys`, over this address. */
  section(url: string, caFile: string): Settings
  /** For the plugin. */
  readonly env: Readonly<Record<string, string>>
  /** Where a rotation is another key: the entries under `keys` that old values need then, good before it as well. */
  others?(url: string, caFile: string): Readonly<Record<string, Settings>>
  /** Makes a new version of the KEK, as its owner does. */
  rotate(): void | Promise<void>
  /** What lets the plugin in; must show nowhere. */
  canaries(): readonly Canary[]
  close(): Promise<void>
}

/** @param tls PEM of the server's certificate for 127.0.0.1, and its key. */
export type MakeRemoteKms = (
  tls: { readonly cert: string; readonly key: string },
  files: PrivateFiles,
  authority: Authority,
) => Promise<RemoteKms>

/** A KMS behind a proxy that fails as networks do, with everything that a config needs. */
export class RemoteBench {
  readonly kms: RemoteKms
  readonly proxy: FaultProxy
  readonly files: PrivateFiles
  readonly section: Settings
  /** All that stands under `keys`, `kek` first, for old values to open after a rotation. */
  readonly keys: Readonly<Record<string, Settings>>

  private constructor(kms: RemoteKms, proxy: FaultProxy, files: PrivateFiles, caFile: string) {
    const url = `https://127.0.0.1:${proxy.port}`
    this.kms = kms
    this.proxy = proxy
    this.files = files
    this.section = kms.section(url, caFile)
    this.keys = { kek: this.section, ...kms.others?.(url, caFile) }
  }

  static async open(make: MakeRemoteKms): Promise<RemoteBench> {
    const authority = await makeAuthority()
    const files = new PrivateFiles()
    const kms = await make(await authority.issue(), files, authority)
    const proxy = await FaultProxy.start(kms.server.port)
    return new RemoteBench(kms, proxy, files, files.write('ca.pem', authority.cert))
  }

  /** Requests that the service got so far. */
  get calls(): number {
    return this.kms.server.requests.length
  }

  async close(): Promise<void> {
    await this.proxy.close()
    await this.kms.close()
    this.files.remove()
  }
}
