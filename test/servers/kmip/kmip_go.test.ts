/** The KMIP backend on a server whose codec and protocol are those of OVHcloud. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openWrapper } from '../../../src/adapters/backends/kmip/open.js'
import { asKmsError } from '../../../src/ports/errors.js'
import { silentLogger } from '../../../src/ports/logger.js'
import type { CallOptions } from '../../../src/ports/key_wrapper.js'
import { keyWrapperContract } from '../../contract/key_wrapper.js'
import { kmipGoMissing, startKmipGo, type KmipGo } from './server.js'

const deps = { key: 'kek', logger: silentLogger, callTimeoutMs: 20_000 }
const within = (): CallOptions => ({ deadlineMs: Infinity, signal: AbortSignal.timeout(20_000) })

async function subject(by: 'keyId' | 'keyLabel', ...flags: string[]) {
  const server = await startKmipGo(...flags)
  const uid = await server.admin.makeKey({ name: 'kek-1' })
  const settings = { ...server.settings, ...(by === 'keyId' ? { keyId: uid } : { keyLabel: 'kek-1' }) }
  return { open: () => openWrapper(settings, deps), remove: server.close }
}

keyWrapperContract('KMIP 1.4 (kmip-go)', async () => subject('keyId'), kmipGoMissing)
keyWrapperContract('KMIP 1.4 (kmip-go, by label)', async () => subject('keyLabel'), kmipGoMissing)
// The administrator of these tests speaks 1.2.
for (const version of ['1.3,1.2', '1.2']) {
  keyWrapperContract(
    `KMIP ${version} (kmip-go, tag behind the data)`,
    async () => subject('keyId', '-versions', version, '-append-tag'),
    kmipGoMissing,
  )
}

const title = kmipGoMissing === undefined ? 'on kmip-go' : `on kmip-go (skipped: ${kmipGoMissing})`

describe.skipIf(kmipGoMissing !== undefined)(title, () => {
  const on = async (work: (server: KmipGo) => Promise<void>, ...flags: string[]): Promise<void> => {
    const server = await startKmipGo(...flags)
    try {
      await work(server)
    } finally {
      await server.close()
    }
  }
  const codeOf = async (call: Promise<unknown>): Promise<string> =>
    call.then(
      () => 'OK',
      (error: unknown) => asKmsError(error).code,
    )

  test.each(['1.3,1.2', '1.2'])(
    'a server of KMIP %s that drops the tag is refused before a DEK is sent',
    async (version) => {
      await on(
        async ({ settings, admin }) => {
          const wrapper = openWrapper({ ...settings, keyId: await admin.makeKey() }, deps)
          await expect(wrapper.wrap(randomBytes(32), within())).rejects.toThrow(
            /returns no authentication tag/,
          )
          await wrapper.close()
        },
        '-versions',
        version,
      )
    },
  )

  test.each(['1.1', '1.1,1.0'])('a server of KMIP %s is refused in words', async (versions) => {
    await on(
      async ({ settings }) => {
        const wrapper = openWrapper({ ...settings, keyId: 'x' }, deps)
        await expect(wrapper.currentKeyId(within())).rejects.toThrow(/Encrypt and Decrypt came with 1.2/)
        await wrapper.close()
      },
      '-versions',
      versions,
    )
  })

  test('a deactivated key opens old values and is refused for new ones', async () => {
    await on(async ({ settings, admin }) => {
      const uid = await admin.makeKey()
      const wrapper = openWrapper({ ...settings, keyId: uid }, deps)
      const dek = randomBytes(32)
      const wrapped = await wrapper.wrap(dek, within())
      await admin.revoke(uid)
      expect(Buffer.from(await wrapper.unwrap(wrapped, within())).equals(dek)).toBe(true)
      expect(await codeOf(wrapper.wrap(dek, within()))).toBe('ERR_KEY_DISABLED')
      expect(await codeOf(wrapper.currentKeyId(within()))).toBe('ERR_KEY_DISABLED')
      await admin.revoke(uid, true)
      expect(await codeOf(wrapper.unwrap(wrapped, within()))).toBe('ERR_KEY_DISABLED')
      await wrapper.close()
    })
  })

  test('a label that moves to another key is a rotation, and the retired key opens by its identifier', async () => {
    await on(async ({ settings, admin }) => {
      const before = await admin.makeKey({ name: 'kek' })
      const wrapper = openWrapper({ ...settings, keyLabel: 'kek' }, deps)
      const wrapped = await wrapper.wrap(randomBytes(32), within())
      await admin.makeKey({ name: 'kek' })
      expect(await codeOf(wrapper.currentKeyId(within()))).toBe('ERR_KEY_UNUSABLE')
      await admin.revoke(before)
      expect(await wrapper.currentKeyId(within())).not.toBe(wrapped.keyId)
      expect(await codeOf(wrapper.unwrap(wrapped, within()))).toBe('ERR_KEY_UNKNOWN')
      const retired = openWrapper({ ...settings, keyId: before }, deps)
      expect(await codeOf(retired.unwrap(wrapped, within()))).toBe('OK')
      await retired.close()
      await wrapper.close()
    })
  })

  test('an unknown key is not found', async () => {
    await on(async ({ settings }) => {
      const wrapper = openWrapper({ ...settings, keyId: 'nobody' }, deps)
      expect(await codeOf(wrapper.currentKeyId(within()))).toBe('ERR_KEY_NOT_FOUND')
      await wrapper.close()
    })
  })
})
