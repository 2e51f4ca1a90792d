/**
 * kill -9 at any moment loses nothing: every ciphertext that was acknowledged opens afterwards.
 *
 * A ciphertext counts as acknowledged when its answer has arrived here. KMSPLUGIN_SEED repeats a run's kills.
 */
import { randomBytes, randomInt } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { childrenOf, HsmSandbox } from '../support/hsm.js'
import { KmsClient } from '../support/kms_client.js'
import { Sandbox, until, type Process, type Settings } from '../support/plugin.js'
import { seeded } from '../support/seeded.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const seed = Number(process.env['KMSPLUGIN_SEED'] ?? randomInt(2 ** 31))

interface Acknowledged {
  readonly plaintext: Buffer
  readonly ciphertext: Buffer
  /** v1 has none. */
  readonly keyId: string | undefined
}

/** Several callers that encrypt without a pause, through both APIs, whatever becomes of their calls. */
class Load {
  readonly journal: Acknowledged[] = []
  /** Of the calls that were not acknowledged; for the message when there are too many. */
  lastFailure = 'none'
  readonly #stopped = new AbortController()
  readonly #workers: Promise<void>[]

  constructor(socket: string) {
    this.#workers = [0, 1, 2, 3].map(async (worker) => this.#work(socket, worker % 2 === 0))
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await Promise.all(this.#workers)
  }

  async #work(socket: string, isV2: boolean): Promise<void> {
    // Short: a call to a dead plugin must not hold up the next.
    const client = new KmsClient(socket, 500)
    while (!this.#stopped.signal.aborted) {
      const plaintext = randomBytes(32)
      try {
        if (isV2) this.journal.push({ plaintext, ...(await client.v2Encrypt(plaintext)) })
        else this.journal.push({ plaintext, ciphertext: await client.v1Encrypt(plaintext), keyId: undefined })
      } catch (error) {
        this.lastFailure = String(error)
        await pause(5)
      }
    }
    client.close()
  }
}

async function pause(delayMs: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, delayMs))
}

/** How many of the acknowledged do not come back as they were. */
async function lostOf(socket: string, acknowledged: readonly Acknowledged[]): Promise<number> {
  const client = new KmsClient(socket, 10_000)
  let lost = 0
  // Not all at once: the plugin bounds how many calls wait for its backend.
  for (let start = 0; start < acknowledged.length; start += 50) {
    await Promise.all(
      acknowledged.slice(start, start + 50).map(async ({ plaintext, ciphertext, keyId }) => {
        const opened =
          keyId === undefined ? client.v1Decrypt(ciphertext) : client.v2Decrypt({ ciphertext, keyId })
        const isSame = await opened.then(
          (bytes) => bytes.equals(plaintext),
          () => false,
        )
        if (!isSame) lost += 1
      }),
    )
  }
  client.close()
  return lost
}

interface Crashing {
  readonly sandbox: Sandbox
  readonly kills: number
  readonly serve: (changes: Settings) => Process
  /** What may be killed beside the plugin. */
  readonly victims: (plugin: Process) => readonly number[]
}

/** Kills under load, looks at a sample after each restart, and at everything with a cold instance at the end. */
async function crashAndRead({ sandbox, kills, serve, victims }: Crashing): Promise<{ acknowledged: number }> {
  const random = seeded(seed)
  const settings = () => ({
    server: { kmsV1: true },
    log: { level: 'info' },
    health: { probeInterval: '100ms' },
    envelope: {
      dek: random.pick(['reused', 'fresh', 'fresh']),
      cipher: random.pick(['A256GCM', 'A256CBC-HS512']),
    },
  })
  let plugin = serve(settings())
  await plugin.says('primary key proved')
  const load = new Load(sandbox.socket)
  try {
    await until(() => load.journal.length >= 50).catch((error: unknown) => {
      throw new Error(`${String(error)}; ${load.lastFailure}; ${plugin.stderr().slice(-2000)}`)
    })
    for (let kill = 0; kill < kills; kill += 1) {
      await pause(random.below(250))
      const others = victims(plugin)
      if (others.length > 0 && random.below(2) === 0) {
        process.kill(random.pick(others), 'SIGKILL')
        continue
      }
      await plugin.kill()
      plugin = serve(settings())
      // Now and then the next one dies while it starts.
      if (random.below(4) === 0) continue
      await plugin.says('primary key proved')
      const sample = Array.from({ length: 20 }, () => random.pick(load.journal))
      expect(await lostOf(sandbox.socket, sample)).toBe(0)
    }
    await plugin.says('primary key proved')
  } finally {
    await load.stop()
  }
  await plugin.kill()
  await serve(settings()).says('primary key proved')
  expect(await lostOf(sandbox.socket, load.journal)).toBe(0)
  return { acknowledged: load.journal.length }
}

describe(`kill -9 under load (seed ${seed})`, () => {
  let sandbox: Sandbox | undefined
  afterEach(async () => sandbox?.close())

  test('8 times of a plugin with a local key: every acknowledged ciphertext opens', async () => {
    const local = new Sandbox()
    sandbox = local
    await local.makeKeyFile()
    const { acknowledged } = await crashAndRead({
      sandbox: local,
      kills: 8,
      serve: (changes) => local.begin(local.localConfig(changes)),
      victims: () => [],
    })
    expect(acknowledged).toBeGreaterThan(100)
  })

  test.skipIf(softHsmMissing !== undefined)(
    onSoftHsm('20 times of a plugin or of its HSM process: every acknowledged ciphertext opens'),
    async () => {
      const onToken = await HsmSandbox.make()
      sandbox = onToken
      const { acknowledged } = await crashAndRead({
        sandbox: onToken,
        kills: 20,
        serve: (changes) => onToken.beginHsm(changes),
        victims: (plugin) => (plugin.isRunning ? childrenOf(plugin.pid) : []),
      })
      expect(acknowledged).toBeGreaterThan(100)
    },
    90_000,
  )
})
