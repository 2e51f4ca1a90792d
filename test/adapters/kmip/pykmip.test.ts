/** What only a server that is not ours can tell: the KMIP backend on PyKMIP, beyond the contract. */
import { createDecipheriv, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkKmipKey } from '../../../src/adapters/backends/kmip/check.js'
import { openWrapper } from '../../../src/adapters/backends/kmip/open.js'
import type { KmipSettings } from '../../../src/adapters/backends/kmip/settings.js'
import type { KmipVersion } from '../../../src/adapters/backends/kmip/version.js'
import type { KmipKeyWrapper } from '../../../src/adapters/backends/kmip/wrapper.js'
import { silentLogger } from '../../../src/ports/logger.js'
import { KmipAdmin } from '../../support/kmip_admin.js'
import { pykmipMissing, startPyKmip, type PyKmip } from '../../support/pykmip.js'
import { clock, failureOf, within } from './scene.js'

const deps = { key: 'kek', logger: silentLogger, callTimeoutMs: 20_000 }
const title = pykmipMissing === undefined ? 'on PyKMIP' : `on PyKMIP (skipped: ${pykmipMissing})`

describe.skipIf(pykmipMissing !== undefined)(title, () => {
  let pykmip: PyKmip
  const opened: KmipKeyWrapper[] = []
  const dek = randomBytes(32)

  const open = (name: Partial<KmipSettings>, version?: KmipVersion): KmipKeyWrapper => {
    const wrapper = openWrapper(
      { ...pykmip.settings, ...name },
      deps,
      version === undefined ? undefined : [version],
    )
    opened.push(wrapper)
    return wrapper
  }

  beforeAll(async () => {
    pykmip = await startPyKmip()
  })

  afterAll(async () => {
    await Promise.all(opened.map(async (wrapper) => wrapper.close()))
    await pykmip.close()
  })

  test('what it wraps is AES-GCM with our IV and the key id as associated data, as node:crypto has it', async () => {
    const material = randomBytes(32)
    const keyId = await pykmip.admin.makeKey({ material })
    const { keyId: id, bytes } = await open({ keyId }).wrap(dek, within())
    const body = Buffer.from(bytes)
    const decipher = createDecipheriv('aes-256-gcm', material, body.subarray(1, 13))
    decipher.setAAD(Buffer.from(`kmsplugin/v1 dek ${id}`)).setAuthTag(body.subarray(-16))
    expect(Buffer.concat([decipher.update(body.subarray(13, -16)), decipher.final()]).equals(dek)).toBe(true)
  })

  test.each([2, 3])(
    'at KMIP 1.%i, where it throws the tag away, it is refused before a DEK is sent',
    async (minor) => {
      const keyId = await pykmip.admin.makeKey()
      const error = await failureOf(open({ keyId }, { major: 1, minor }).wrap(dek, within()))
      expect(error.code).toBe('ERR_KEY_UNUSABLE')
      expect(error.message).toContain(`at KMIP 1.${minor} returns no authentication tag`)
    },
  )

  test.each([
    ['pre-active', { isActive: false }, 'ERR_KEY_DISABLED', 'activate it'],
    ['not to encrypt', { mask: 8 }, 'ERR_KEY_UNUSABLE', 'may not Encrypt'],
    ['of 128 bits', { bits: 128 }, 'ERR_KEY_UNUSABLE', '128 bits'],
  ] as const)('a key that is %s is told apart', async (_name, wish, code, text) => {
    const error = await failureOf(open({ keyId: await pykmip.admin.makeKey(wish) }).currentKeyId(within()))
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(text)])
  })

  test.each([
    ['deactivated', false],
    ['compromised', true],
  ])(
    'a key that was %s in between is told apart, though all it says is PermissionDenied',
    async (text, isCompromised) => {
      const keyId = await pykmip.admin.makeKey()
      const wrapper = open({ keyId })
      const wrapped = await wrapper.wrap(dek, within())
      await pykmip.admin.revoke(keyId, isCompromised)
      const calls = [
        async () => wrapper.unwrap(wrapped, within()),
        async () => wrapper.wrap(dek, within()),
        async () => wrapper.currentKeyId(within()),
      ]
      for (const call of calls) {
        const error = await failureOf(call())
        expect([error.code, error.message]).toEqual(['ERR_KEY_DISABLED', expect.stringContaining(text)])
      }
    },
  )

  test('a key that was destroyed, and one that never was, is not found', async () => {
    const keyId = await pykmip.admin.makeKey({ isActive: false })
    await pykmip.admin.destroy(keyId)
    for (const uid of [keyId, '4711']) {
      expect((await failureOf(open({ keyId: uid }).currentKeyId(within()))).code).toBe('ERR_KEY_NOT_FOUND')
    }
  })

  test('a key of another client is forbidden', async () => {
    const client = await pykmip.authority.issue({ commonName: 'somebody else' })
    const other = new KmipAdmin({ port: pykmip.port, ca: pykmip.authority.cert, client })
    const error = await failureOf(open({ keyId: await other.makeKey() }).currentKeyId(within()))
    expect(error.code).toBe('ERR_ACCESS_DENIED')
  })

  test('a label that two Active keys have, which it allows, is refused with both named', async () => {
    const uids = [await pykmip.admin.makeKey({ name: 'twin' }), await pykmip.admin.makeKey({ name: 'twin' })]
    const error = await failureOf(open({ keyLabel: 'twin' }).currentKeyId(within()))
    expect([error.code, error.message]).toEqual([
      'ERR_KEY_UNUSABLE',
      expect.stringContaining(uids.join(', ')),
    ])
  })

  test('a rotation by label: the retired key opens by its identifier where the server lets it, and the label moves on', async () => {
    const first = await pykmip.admin.makeKey({ name: 'rotated' })
    const wrapper = open({ keyLabel: 'rotated' })
    const before = await wrapper.currentKeyId(within())
    await pykmip.admin.revoke(first)
    await pykmip.admin.makeKey({ name: 'rotated' })
    const after = await wrapper.currentKeyId(within())
    expect(after).not.toBe(before)
    expect((await wrapper.wrap(dek, within())).keyId).toBe(after)
  })

  test.each(['rotated', 'nobody has this'])(
    'a label that is none, or of keys that are not Active, says so: %s',
    async (name) => {
      const uid = await pykmip.admin.makeKey({ name: `${name} once` })
      await pykmip.admin.revoke(uid)
      expect((await failureOf(open({ keyLabel: `${name} once` }).currentKeyId(within()))).code).toBe(
        'ERR_KEY_DISABLED',
      )
      expect((await failureOf(open({ keyLabel: `${name}, never` }).currentKeyId(within()))).code).toBe(
        'ERR_KEY_NOT_FOUND',
      )
    },
  )

  test('check shows version, vendor and attributes, and warns of a label that only opens', async () => {
    const keyLabel = 'checked'
    const uid = await pykmip.admin.makeKey({ name: keyLabel })
    const findings = await checkKmipKey(
      { ...pykmip.settings, keyLabel },
      { ...deps, clock, isPrimary: false, env: {}, stateDir: undefined, onRestart() {}, onTokenHealth() {} },
    )
    expect(findings.map(({ level, subject }) => [level, subject])).toEqual([
      ['ok', 'keys.kek.address'],
      ['ok', 'keys.kek'],
      ['warning', 'keys.kek.keyLabel'],
    ])
    expect(findings[0]?.text).toContain('speaks KMIP 1.4')
    expect(findings[2]?.text).toContain(`keyId: ${uid}`)
    const evidence = findings[1]?.evidence?.map(({ name, value, verdict }) => [name, value, verdict])
    expect(evidence).toContainEqual(['State', 'Active', 'ok'])
    expect(evidence).toContainEqual(['Cryptographic Usage Mask', 'Encrypt and Decrypt', 'ok'])
  })

  test('check names what is wrong with a key', async () => {
    const keyId = await pykmip.admin.makeKey({ isActive: false })
    const findings = await checkKmipKey(
      { ...pykmip.settings, keyId },
      { ...deps, clock, isPrimary: true, env: {}, stateDir: undefined, onRestart() {}, onTokenHealth() {} },
    )
    expect(findings.at(-1)).toMatchObject({ level: 'error', subject: 'keys.kek' })
    expect(findings.at(-1)?.text).toContain('activate it')
  })
})
