/** The backend `vault` on OpenBao passes the suite of every backend, with each kind of key and place. */
import { afterAll, beforeAll } from 'vitest'
import { keyWrapperContract, type Subject } from '../../contract/key_wrapper.js'
import type { Json } from './api.js'
import { Bench } from './bench.js'
import { policyFor } from './policy.js'
import { missing } from './server.js'

let bench: Bench | undefined
beforeAll(async () => {
  if (missing === undefined) bench = await Bench.start()
})
afterAll(async () => {
  await bench?.close()
})

interface Place {
  readonly keyName: string
  readonly mount?: string
  readonly namespace?: string
}

function onOpenBao(name: string, place: Place, key: Json = {}, settings: Json = {}): void {
  keyWrapperContract(name, async () => makeSubject(place, key, settings), missing)
}

async function makeSubject(place: Place, key: Json, settings: Json): Promise<Subject> {
  const { keyName, mount = 'transit', namespace } = place
  const { server } = bench!
  const operator = namespace === undefined ? server.operator : await server.operator.namespace(namespace)
  if (mount !== 'transit' || namespace !== undefined) await operator.enableTransit(mount)
  await operator.makeKey(keyName, key, mount)
  await operator.writePolicy(`kms-${keyName}`, policyFor({ mount, keyName }))
  const token = await operator.makeToken({ policies: [`kms-${keyName}`], period: '1h', no_parent: true })
  const auth = { method: 'token', token: bench!.secret(token) }
  return {
    open: () => bench!.open({ ...place, ...settings, auth }).bare,
    remove: async () => undefined,
  }
}

onOpenBao('OpenBao, aes256-gcm96', { keyName: 'aes256' })
onOpenBao('OpenBao, aes128-gcm96', { keyName: 'aes128' }, { type: 'aes128-gcm96' })
onOpenBao('OpenBao, chacha20-poly1305', { keyName: 'chacha' }, { type: 'chacha20-poly1305' })
onOpenBao('OpenBao, xchacha20-poly1305', { keyName: 'xchacha' }, { type: 'xchacha20-poly1305' })
onOpenBao('OpenBao, rsa-2048', { keyName: 'rsa2048' }, { type: 'rsa-2048' })
onOpenBao('OpenBao, rsa-4096', { keyName: 'rsa4096' }, { type: 'rsa-4096' })
onOpenBao('OpenBao, with associated data', { keyName: 'bound' }, {}, { associatedData: 'cluster one' })
onOpenBao('OpenBao, a derived key', { keyName: 'derived' }, { derived: true }, { context: 'cluster one' })
onOpenBao(
  'OpenBao, a derived key with associated data',
  { keyName: 'derived-bound' },
  { derived: true },
  { context: 'cluster one', associatedData: 'kms' },
)
onOpenBao(
  'OpenBao, convergent encryption',
  { keyName: 'convergent' },
  { derived: true, convergent_encryption: true },
  { context: 'cluster one' },
)
onOpenBao('OpenBao, a mount with a slash', { keyName: 'a.key_of-mine', mount: 'teams/one/transit' })
onOpenBao('OpenBao, in a namespace', { keyName: 'inside', namespace: 'team' })
