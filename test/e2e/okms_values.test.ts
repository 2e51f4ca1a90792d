/** The built program over the fakes of OVHcloud KMS: what OVHcloud's own plugin stored opens, and is counted. */
import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import { Scene as KmipScene } from '../adapters/kmip/scene.js'
import { KmsClient, refusal, type V2DecryptRequest } from '../support/kms_client.js'
import { OkmsSubject } from '../support/okms_subject.js'
import { freePort, Sandbox, type Settings } from '../support/plugin.js'

interface Recorded {
  readonly key: {
    readonly servers: readonly { readonly uid: string; readonly material: string }[]
    readonly keys: readonly { readonly id: string; readonly material: string }[]
  }
  readonly values: readonly {
    readonly ciphertext: string
    readonly keyId: string
    readonly annotations: Readonly<Record<string, string>>
    readonly plaintext: string
    readonly note: string
  }[]
}

const bytesOf = (text: string): Buffer => Buffer.from(text, 'base64')
const recordedIn = (format: string): Recorded =>
  JSON.parse(readFileSync(new URL(`../vectors/foreign/${format}.json`, import.meta.url), 'utf8')) as Recorded

/** A key of ours on the same server, and what ends the server. */
const servers: Readonly<
  Record<string, (recorded: Recorded) => Promise<{ key: object; end: () => Promise<void> }>>
> = {
  'okms-kmip': async ({ key }) => {
    const scene = await KmipScene.start()
    for (const { uid, material } of key.servers) scene.fake.addKey({ uid, material: bytesOf(material) })
    return { key: scene.settings(), end: async () => scene.close() }
  },
  'okms-rest': async ({ key }) => {
    const subject = await OkmsSubject.start()
    for (const { id, material } of key.keys) subject.fake.addKey({ id, material: bytesOf(material) })
    return { key: subject.settings(), end: async () => subject.close() }
  },
}

const ends: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

test.each(Object.keys(servers))('%s', async (format) => {
  const recorded = recordedIn(format)
  const { key, end } = await servers[format]!(recorded)
  const sandbox = new Sandbox()
  ends.push(end, async () => sandbox.close())
  const port = await freePort()
  const config = (decode: Settings): Settings => ({
    server: { socket: sandbox.socket },
    health: { address: `127.0.0.1:${port}` },
    primary: 'ovh',
    keys: { ovh: { ...key, ...decode } },
  })
  const requests = recorded.values.map(({ ciphertext, keyId, annotations }): V2DecryptRequest => ({
    ciphertext: bytesOf(ciphertext),
    keyId,
    annotations: Object.fromEntries(
      Object.entries(annotations).map(([name, value]) => [name, bytesOf(value)]),
    ),
  }))
  const client = new KmsClient(sandbox.socket)
  ends.push(() => client.close())

  const without = await sandbox.serve(config({}))
  expect(await refusal(client.v2Decrypt(requests[0]!))).toMatch(/^FAILED_PRECONDITION/)
  expect(without.stderr()).toContain(`no key lists ${format}`)
  await without.stop()

  await sandbox.serve(config({ decode: [format] }))
  for (const [i, { plaintext, note }] of recorded.values.entries()) {
    expect((await client.v2Decrypt(requests[i]!)).toString('base64'), note).toBe(plaintext)
  }
  const [first] = requests as [V2DecryptRequest]
  const altered = Buffer.from(first.ciphertext)
  altered[altered.length - 5] = altered[altered.length - 5] === 0x41 ? 0x42 : 0x41
  expect(await refusal(client.v2Decrypt({ ...first, ciphertext: altered }))).toMatch(/^INVALID_ARGUMENT/)
  const absent = { ...first, keyId: '00000000-0000-4000-8000-000000000000' }
  expect(await refusal(client.v2Decrypt(absent))).toMatch(/^FAILED_PRECONDITION/)

  const fresh = await client.v2Encrypt(Buffer.alloc(32, 7))
  expect(fresh.keyId).not.toBe(first.keyId)
  expect(await client.v2Decrypt(fresh)).toEqual(Buffer.alloc(32, 7))
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const count = new RegExp(`kmsplugin_foreign_decrypts_total\\{format="${format}",code="OK"\\} (\\d+)`).exec(
    metrics,
  )
  expect(Number(count?.[1])).toBe(requests.length)
  expect((await client.v2Status()).healthz).toBe('ok')
})
