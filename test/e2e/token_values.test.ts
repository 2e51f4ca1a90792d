/** The built program opens what k8s-kms-plugin stored, with its key on the token, and writes under its own. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HsmSandbox } from '../support/hsm.js'
import { KmsClient, refusal } from '../support/kms_client.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'
import { importStep, recorded, type TokenValue } from '../support/token_values.js'

const { key: keys, values } = recorded('k8s-kms-plugin')
const [kek, mac] = [keys['kek']!, keys['mac']!]
const ofKek = values.filter(({ opensWith }) => opensWith === 'kek')

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('in the place of k8s-kms-plugin'), () => {
  let sandbox: HsmSandbox
  let client: KmsClient

  beforeAll(async () => {
    sandbox = await HsmSandbox.make()
    sandbox.hsm.change(importStep(kek), importStep(mac))
    const decode = [{ format: 'k8s-kms-plugin', macKeyId: mac.id }]
    const old = { ...sandbox.key(), keyLabel: kek.label, decode }
    await sandbox.serveHsm({ server: { kmsV1: true }, keys: { hsm: sandbox.key(), old } })
    client = new KmsClient(sandbox.socket)
  })

  afterAll(async () => {
    client.close()
    await sandbox.close()
  })

  const open = async ({ stored: { ciphertext, keyId, annotations } }: TokenValue) =>
    keyId === undefined ? client.v1Decrypt(ciphertext) : client.v2Decrypt({ ciphertext, keyId, annotations })

  test('every value that its tag protects opens on v1 and v2', async () => {
    const safe = ofKek.filter(({ tag }) => tag === undefined || tag === 'c')
    expect(new Set(safe.map(({ stored: { keyId } }) => keyId === undefined)).size).toBe(2)
    for (const value of safe) expect((await open(value)).equals(value.plaintext), value.name).toBe(true)
  })

  test('values of AES-CBC whose HMAC is that of nothing are refused by a text of their own, until they are allowed', async () => {
    const unsafe = ofKek.filter(({ tag }) => tag === 'a' || tag === 'b')
    expect(unsafe.length).toBeGreaterThan(0)
    for (const value of unsafe) {
      expect(await refusal(open(value))).toBe(
        'FAILED_PRECONDITION: value without authentication, not allowed',
      )
    }
  })

  test('what is written now is of the new key, and opens beside the old', async () => {
    const written = await client.v2Encrypt(Buffer.alloc(32, 7))
    expect(written.keyId).toMatch(/^pkcs11:/)
    expect((await client.v2Decrypt(written)).equals(Buffer.alloc(32, 7))).toBe(true)
  })
})
