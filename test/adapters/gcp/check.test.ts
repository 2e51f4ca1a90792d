import { describe, expect, test } from 'vitest'
import { ACCOUNT, checkGcp } from '../../support/gcp.js'
import { useScene } from './opened.js'

const scene = useScene()

const check = async (change: Partial<Parameters<typeof checkGcp>[0]> = {}) =>
  checkGcp({ endpoint: scene.fake.server.url, credentials: scene.credentials, ...change })

describe('kmsplugin check', () => {
  test('says which credentials are used and how the key is protected', async () => {
    expect(await check()).toEqual([
      {
        level: 'ok',
        subject: 'keys.kek.credentials',
        text: `${scene.credentials} (credentials): service_account`,
      },
      {
        level: 'ok',
        subject: 'keys.kek.keyName',
        text: 'primary version 1, HSM, GOOGLE_SYMMETRIC_ENCRYPTION',
      },
    ])
  })

  test('asks nobody while the credentials file is wrong', async () => {
    const findings = await check({ credentials: scene.files.write('bad.json', '{}') })
    expect(findings.map(({ level }) => level)).toEqual(['error'])
    expect(scene.fake.server.requests).toEqual([])
  })

  test('names all rights that are missing at once', async () => {
    scene.fake.denied.add(`${ACCOUNT} cloudkms.cryptoKeys.get`)
    scene.fake.denied.add(`${ACCOUNT} cloudkms.cryptoKeyVersions.useToDecrypt`)
    const [, key] = await check()
    expect(key).toMatchObject({ level: 'error', subject: 'keys.kek.keyName' })
    expect(key?.text).toContain('lacks cloudkms.cryptoKeys.get, cloudkms.cryptoKeyVersions.useToDecrypt on')
  })

  test('does not want a key that only opens to wrap', async () => {
    scene.fake.denied.add(`${ACCOUNT} cloudkms.cryptoKeyVersions.useToEncrypt`)
    expect((await check({ isPrimary: false })).map(({ level }) => level)).toEqual(['ok', 'ok'])
    expect((await check()).map(({ level }) => level)).toEqual(['ok', 'error'])
  })

  test('changes nothing: it reads the key and tests rights', async () => {
    await check()
    expect(scene.asked()).toEqual(['POST /kek:testIamPermissions', 'GET /kek'])
  })

  test('says that the metadata server is asked where there is no file', async () => {
    const env = { GCE_METADATA_HOST: `127.0.0.1:${scene.fake.server.port}` }
    const [credentials, key] = await checkGcp({ endpoint: scene.fake.server.url, env })
    expect(credentials?.text).toContain('metadata server')
    expect(key?.level).toBe('ok')
  })
})
