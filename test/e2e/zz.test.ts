import { test } from 'vitest'
import { chmodSync, writeFileSync, rmSync, copyFileSync } from 'node:fs'
import { HsmSandbox, childrenOf } from '../support/hsm.js'
import { KmsClient, refusal } from '../support/kms_client.js'
test.each<[string, (s: HsmSandbox) => object | void]>([
  ['good', () => {}],
  ['missing pin', (s) => rmSync(s.hsm.pinFile)],
  ['readable pin', (s) => chmodSync(s.hsm.pinFile, 0o644)],
  ['wrong pin', (s) => writeFileSync(s.hsm.pinFile, '99999999')],
  ['unknown token', () => ({ tokenLabel: 'nope' })],
  ['unknown key', () => ({ keyLabel: 'nope' })],
  ['no decrypt', (s) => { s.hsm.change({ do: 'makeAes', label: 'bad', decrypt: false }); return { keyLabel: 'bad' } }],
  ['short', (s) => { s.hsm.change({ do: 'makeAes', label: 'bad', bytes: 16 }); return { keyLabel: 'bad' } }],
  ['two', (s) => { s.hsm.change({ do: 'makeAes', label: 'bad' }, { do: 'makeAes', label: 'bad' }); return { keyLabel: 'bad' } }],
  ['no module', () => ({ module: '/usr/lib/none.so' })],
  ['no pkcs11', () => ({ module: '/usr/lib/x86_64-linux-gnu/libz.so.1' })],
  ['text module', (s) => ({ module: s.writeFile('m.so', 'text', 0o755) })],
])('%s', async (name, change) => {
  const s = await HsmSandbox.make()
  const keys = { hsm: s.key((change(s) ?? {}) as never) }
  const check = await s.run(['check', '--config', s.writeConfig(s.hsmConfig({ keys }))], { env: s.hsm.env })
  const p = s.begin(s.hsmConfig({ keys }), { env: s.hsm.env })
  await p.says('listening')
  const c = new KmsClient(s.socket)
  await new Promise(r => setTimeout(r, 1500))
  const st = await refusal(c.v2Status()).catch(String)
  console.log(name, '\nCHECK', check.code, check.stdout, check.stderr, 'STATUS', st, '\nLOG', p.log().filter(l => l.level==='error'||l.level==='warn').map(l => JSON.stringify(l)).join('\n'), '\nCHILD', childrenOf(p.pid))
  c.close()
  await s.close()
})
