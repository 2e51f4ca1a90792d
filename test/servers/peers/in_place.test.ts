/** The image is exchanged, the arguments stay: what the other program itself has written opens, and its metrics go on. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KmsClient, type V2Encrypted } from '../../support/kms_client.js'
import { unlessMissing } from '../../support/modules/token_module.js'
import { Sandbox, isSocket, until } from '../../support/plugin.js'
import { scenes, startPeer, type Scene } from './scenes.js'

const VALUES = 5

/** Of the process of a program of Go; Node.js does not know them. */
const ABSENT = /_process_(network_(receive|transmit)_bytes_total|virtual_memory_max_bytes)$/

interface Written {
  readonly v1: { readonly plaintext: Buffer; readonly cipher: Buffer }[]
  readonly v2: { readonly plaintext: Buffer; readonly answer: V2Encrypted }[]
  /** The names under which the program exports metrics. */
  readonly metricNames: readonly string[]
}

describe.each(Object.entries(scenes))('%s', (_, maker) => {
  const { missing } = maker
  describe.skipIf(missing !== undefined)(unlessMissing('the program itself', missing), () => {
    const sandbox = new Sandbox()
    let scene: Scene
    let written: Written
    const ends: (() => Promise<void>)[] = []

    beforeAll(async () => {
      sandbox.makeFolder('run')
      scene = await maker.make(sandbox)
      ends.push(async () => scene.close())
      written = await writtenByPeer(scene, sandbox)
    })

    afterAll(async () => {
      await sandbox.close()
      for (const end of ends) await end()
    })

    test('has written values that none of ours looks like', () => {
      expect(written.v2).toHaveLength(VALUES)
      expect(written.v1).toHaveLength(scene.apis.includes('v1') ? VALUES : 0)
    })

    test('is replaced under the same arguments: every value opens, new ones are ours, its metrics go on', async () => {
      const ours = sandbox.start([scene.peer, ...scene.words], { env: scene.env })
      await ours.says('primary key proved')
      const client = new KmsClient(sandbox.socket)
      try {
        for (const { plaintext, cipher } of written.v1) {
          expect((await client.v1Decrypt(cipher)).equals(plaintext)).toBe(true)
        }
        for (const { plaintext, answer } of written.v2) {
          expect((await client.v2Decrypt(answer)).equals(plaintext)).toBe(true)
          const altered = Buffer.from(answer.ciphertext)
          altered[altered.length - 20]! ^= 1
          await expect(client.v2Decrypt({ ...answer, ciphertext: altered })).rejects.toThrow(
            'ciphertext rejected',
          )
        }
        const [old] = written.v2
        const fresh = await client.v2Encrypt(randomBytes(32))
        expect(fresh.keyId).not.toBe(old?.answer.keyId)
        expect((await client.v2Status()).keyId).toBe(fresh.keyId)
        expect(fresh.ciphertext.subarray(1, 4).toString()).toBe('KMS')
      } finally {
        client.close()
      }
      if (scene.metrics !== undefined) {
        const names = await metricNamesAt(scene.metrics)
        expect(written.metricNames.length).toBeGreaterThan(1)
        expect(names).toEqual(
          expect.arrayContaining(written.metricNames.filter((name) => !ABSENT.test(name))),
        )
        expect(names).toContain('kmsplugin_foreign_decrypts_total')
      }
      expect((await ours.stop()).code).toBe(0)
      const output = `${ours.stdout()}${ours.stderr()}`
      for (const secret of scene.secrets) expect(output).not.toContain(secret)
    })
  })
})

async function writtenByPeer(scene: Scene, sandbox: Sandbox): Promise<Written> {
  const peer = startPeer(scene)
  const client = new KmsClient(sandbox.socket, 10_000)
  try {
    await until(() => {
      if (!peer.isRunning) throw new Error(`${scene.peer} ended: ${peer.stderr()}${peer.stdout()}`)
      return isSocket(sandbox.socket)
    }, 60_000)
    const v1: Written['v1'] = []
    const v2: Written['v2'] = []
    for (let count = 0; count < VALUES; count += 1) {
      const plaintext = randomBytes(32)
      if (scene.apis.includes('v1')) v1.push({ plaintext, cipher: await client.v1Encrypt(plaintext) })
      v2.push({ plaintext, answer: await client.v2Encrypt(plaintext) })
    }
    const metricNames = scene.metrics === undefined ? [] : await metricNamesAt(scene.metrics)
    return {
      v1,
      v2,
      metricNames: metricNames.filter((name) => /^(aws_encryption|vault_kubernetes)_/.test(name)),
    }
  } finally {
    client.close()
    await peer.stop()
  }
}

async function metricNamesAt(url: string): Promise<readonly string[]> {
  const text = await (await fetch(url, { signal: AbortSignal.timeout(10_000) })).text()
  return [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = '']) => name)
}
