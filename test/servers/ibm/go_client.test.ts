/** The fake IBM KMS is as IBM's own Go client knows the service, and what that client wraps the plugin unwraps. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ciphertextOfBytes, bytesOfCiphertext } from '../../../src/adapters/backends/ibm/ciphertext.js'
import { ibm } from '../../../src/adapters/backends/ibm/index.js'
import type { KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { PrivateFiles } from '../../support/certificates.js'
import { FakeIbm } from '../../support/fakes/ibm.js'
import type { FakeKey } from '../../support/fakes/ibm_keys.js'
import { backendDeps } from '../../support/backend_deps.js'
import { buildClient, runScenario, type Client } from './go_client.js'

const built = await buildClient()
const missing = 'missing' in built ? built.missing : undefined
const title = 'IBM’s Go client'
const HALF_A_MINUTE_MS = 30_000
const HOUR_MS = 3_600_000

describe.skipIf(missing !== undefined)(
  missing === undefined ? title : `${title} (skipped: ${missing})`,
  () => {
    const client = built as Client
    let fake: FakeIbm
    let key: FakeKey
    let manager: string
    let reader: string

    beforeAll(async () => {
      fake = await FakeIbm.start()
      key = fake.addKey({ ring: 'clusters', aliases: new Set(['kubernetes']) })
      manager = fake.iam.makeApiKey('Manager')
      reader = fake.iam.makeApiKey('Reader')
    })
    afterAll(async () => fake.close())

    /** As a manager, unless it is said otherwise. */
    const run = async (args: readonly string[], change: Readonly<Record<string, string>> = {}) =>
      runScenario(client, fake, args, { KP_API_KEY: manager, KP_KEY: key.id, ...change })

    const isContent = async (scenario: string, change: Readonly<Record<string, string>> = {}) => {
      expect((await run([scenario], change)).complaints).toBe('')
    }

    test('wraps and unwraps with additional data, and is refused what was altered', async () =>
      isContent('wrap'))
    test('has a DEK made', async () => isContent('generate'))
    test('reads metadata and versions', async () => isContent('metadata'))

    test('rotates, and what the old version wrapped comes back with a new ciphertext', async () => {
      await isContent('rotate')
      fake.nowMs += HOUR_MS
    })

    test('disables, and has to wait before it enables', async () => {
      await isContent('disable')
      fake.nowMs += HALF_A_MINUTE_MS
      await isContent('enable')
    })

    test('deletes and restores', async () => {
      await isContent('delete')
      fake.nowMs += HALF_A_MINUTE_MS
      await isContent('restore')
    })

    test('is told that a standard key does not wrap', async () =>
      isContent('standard', { KP_KEY: fake.addKey({ extractable: true }).id }))

    test('may wrap, unwrap and look as a Reader, and no more', async () =>
      isContent('reader', { KP_API_KEY: reader }))

    test('is told that a key is absent', async () =>
      isContent('absent', { KP_KEY: '00000000-0000-4000-8000-000000000000' }))

    test('is told that the instance is none', async () => isContent('instance', { KP_INSTANCE: 'none' }))
    test('finds no key in another ring', async () => isContent('ring', { KP_RING: 'other' }))
    test('is told by IAM that the API key is wrong', async () =>
      isContent('api-key', { KP_API_KEY: 'wrong' }))

    test('its complaints are seen', async () => {
      expect((await run(['standard'])).complaints).toContain('lifecycle.go')
    })

    describe('and the plugin', () => {
      const dek = Buffer.from('a DEK of 32 bytes, as it must be')
      let files: PrivateFiles
      let wrapper: KeyWrapper

      beforeAll(() => {
        files = new PrivateFiles()
        const settings = ibm.settings.parse({
          backend: 'ibm',
          url: fake.server.url,
          instanceId: fake.instanceId,
          keyId: key.id,
          aad: ['cluster-1', 'etcd'],
          apiKey: `file:${files.write('api-key', reader)}`,
          tokenUrl: fake.tokenUrl,
        })
        wrapper = ibm.open(settings, backendDeps())
      })
      afterAll(async () => {
        await wrapper.close()
        files.remove()
      })

      test('it opens what the plugin has wrapped', async () => {
        const { bytes } = await wrapper.wrap(dek, { deadlineMs: Infinity })
        const { output, complaints } = await run(['open', ciphertextOfBytes(bytes)!])
        expect([output, complaints]).toEqual([dek.toString('base64'), ''])
      })

      test('the plugin opens what it has wrapped', async () => {
        const { output } = await run(['seal'])
        const keyId = await wrapper.currentKeyId({ deadlineMs: Infinity })
        const wrapped = { keyId, bytes: bytesOfCiphertext(output, 'the fake') }
        const opened = await wrapper.unwrap(wrapped, { deadlineMs: Infinity })
        expect(Buffer.from(opened).equals(dek)).toBe(true)
      })
    })
  },
)
