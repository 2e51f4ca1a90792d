/** Opens values of Transit as the core does: a format's plan, asked of our backend, which asks a fake Vault. */
import { vault } from '../../../src/adapters/backends/vault/index.js'
import { VaultKeyWrapper } from '../../../src/adapters/backends/vault/wrapper.js'
import { erased, type Format } from '../../../src/adapters/formats/format.js'
import { asKmsError, errorCodes, type KmsErrorCode } from '../../../src/ports/errors.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import { backendDeps } from '../../support/backend_deps.js'
import { PrivateFiles } from '../../support/certificates.js'
import { open } from '../../support/cloud_values.js'
import { FakeVault, pluginPolicy } from '../../support/fakes/vault.js'

/** As the fixtures have it. */
export interface TransitKey {
  readonly name: string
  readonly type: string
  /** Base64, by version. */
  readonly versions: Readonly<Record<string, string>>
  /** For `transit/restore` of a real server. */
  readonly backup: string
}

export function secretsOf({ versions }: TransitKey): readonly Buffer[] {
  return Object.values(versions).map((text) => Buffer.from(text, 'base64'))
}

/** Whose move it is after an outcome of {@link TransitBench.open} that is a code; `undefined`: it is none. */
export function faultOf(outcome: string): string | undefined {
  return Object.hasOwn(errorCodes, outcome) ? errorCodes[outcome as KmsErrorCode].fault : undefined
}

export class TransitBench {
  readonly fake: FakeVault
  readonly wrapper: VaultKeyWrapper
  readonly #files: PrivateFiles

  private constructor(fake: FakeVault, wrapper: VaultKeyWrapper, files: PrivateFiles) {
    this.fake = fake
    this.wrapper = wrapper
    this.#files = files
  }

  static async start(key: TransitKey): Promise<TransitBench> {
    const fake = await FakeVault.start()
    fake.transit.adopt(key.name, secretsOf(key))
    fake.policies.set('plugin', pluginPolicy('transit', key.name))
    const files = new PrivateFiles()
    const token = files.write('token', fake.tokens.make({ policies: ['default', 'plugin'] }).id)
    const section = {
      ...{ backend: 'vault', url: fake.server.url, keyName: key.name },
      auth: { method: 'token', token: `file:${token}` },
    }
    const wrapper = new VaultKeyWrapper(vault.settings.parse(section), backendDeps())
    return new TransitBench(fake, wrapper, files)
  }

  /** The plaintext in hex, or the code of the error. */
  async open<Options>(format: Format<Options>, value: StoredValue, options: object = {}): Promise<string> {
    try {
      const decoder = erased(format).decoder(options, { allowUnauthenticated: false })
      if (decoder.recognize(value) === undefined) return 'not recognized'
      return Buffer.from(await open(decoder, this.wrapper, value, CALL)).toString('hex')
    } catch (thrown) {
      return asKmsError(thrown).code
    }
  }

  /** How often Transit was asked to decrypt. */
  get decrypts(): number {
    return this.fake.asked.filter((path) => path.includes('/decrypt/')).length
  }

  async close(): Promise<void> {
    await this.wrapper.close()
    await this.fake.close()
    this.#files.remove()
  }
}

const CALL = { deadlineMs: Infinity }
