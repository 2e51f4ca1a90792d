/** Nothing secret in any output: the whole conversation with recognisable secrets, at the most talkative log level. */
import { describe, expect, test } from 'vitest'
import { LocalKeyWrapper } from '../../src/adapters/backends/local/wrapper.js'
import { parseEnvelope } from '../../src/domain/envelope_format.js'
import { leaks, type Canary } from '../support/canaries.js'
import { childrenOf, HsmSandbox } from '../support/hsm.js'
import { newEntry, readKeys, writeKeys } from '../support/local_keys.js'
import { freePort, Sandbox, until } from '../support/plugin.js'
import {
  converse,
  ofProcess,
  outputOf,
  pagesOf,
  plaintext,
  procOf,
  talk,
  talkative,
  type Outputs,
} from '../support/provoked.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const keyBytes = Buffer.from('CANARY-KEK-in-a-file-of-32-bytes')
const wrongPin = 'CANARY-WRONG-PIN'

/** The scan itself finds what it looks for. */
test('a canary is found in every form', () => {
  const canary = { name: 'canary', bytes: keyBytes }
  const text = keyBytes.toString()
  for (const shown of [
    text,
    keyBytes.toString('hex'),
    Buffer.concat([Buffer.of(1), keyBytes]).toString('base64'),
    Buffer.concat([Buffer.of(1, 2), keyBytes, Buffer.of(3)]).toString('base64url'),
    JSON.stringify({ keyBytes }),
    Buffer.from(`x${text}`, 'utf16le'),
  ])
    expect(leaks([canary], { shown })).not.toEqual([])
  expect(leaks([canary], { shown: 'nothing' })).toEqual([])
})

test('on a local key file: neither plaintext nor KEK nor DEK', async () => {
  const sandbox = new Sandbox()
  try {
    await sandbox.makeKeyFile()
    const content = readKeys(sandbox.keyFile)
    writeKeys(sandbox.keyFile, { ...content, keys: [{ ...newEntry(), key: keyBytes.toString('base64') }] })
    const port = await freePort()
    const config = sandbox.localConfig({ ...talk, health: { address: `127.0.0.1:${port}` } })
    const plugin = await sandbox.serve(config, { env: talkative })
    const { errors, ciphertext } = await converse(sandbox.socket)

    const dek = await new LocalKeyWrapper(sandbox.keyFile).unwrap(parseEnvelope(ciphertext).wrapped)
    const canaries: Canary[] = [
      { name: 'plaintext', bytes: plaintext },
      { name: 'KEK', bytes: keyBytes },
      { name: 'DEK', bytes: dek },
    ]
    const file = sandbox.writeConfig(config)
    const outputs: Outputs = { errors, ...(await pagesOf(port)), ...procOf('plugin', plugin.pid) }
    for (const words of [
      ['check'],
      ['config', 'print'],
      ['status'],
      ['inspect', sandbox.writeFile('v', ciphertext)],
    ])
      Object.assign(outputs, outputOf(words.join(' '), await sandbox.run([...words, '--config', file])))
    // A file that is damaged is the best chance for a parser to quote it.
    sandbox.writeFile('key.json', `{"key":"${keyBytes.toString('base64')}"`)
    Object.assign(
      outputs,
      outputOf('check of a damaged file', await sandbox.run(['check', '--config', file])),
    )
    await plugin.stop()
    expect(leaks(canaries, { ...outputs, ...outputOf('plugin', ofProcess(plugin)) })).toEqual([])
    expect(plugin.log().length).toBeGreaterThan(10)
  } finally {
    await sandbox.close()
  }
})

test('libraries do not talk, whatever the environment asks of them', async () => {
  const sandbox = new Sandbox()
  try {
    const plugin = await sandbox.serveLocal(talk, { env: talkative })
    await converse(sandbox.socket)
    await plugin.stop()
    expect(plugin.stdout()).toBe('')
    for (const line of plugin.stderr().trimEnd().split('\n')) expect(line).toMatch(/^\{"level":/)
  } finally {
    await sandbox.close()
  }
})

test.each(['NODE_DEBUG', 'NODE_DEBUG_NATIVE'])(
  '%s, by which Node.js prints bytes, is refused',
  async (name) => {
    const sandbox = new Sandbox()
    try {
      const { code, stderr } = await sandbox.run(['--version'], { env: { [name]: 'net' } })
      expect(code).toBe(78)
      expect(stderr).toContain(`${name} is set`)
    } finally {
      await sandbox.close()
    }
  },
)

test('NODE_TLS_REJECT_UNAUTHORIZED=0, by which Node.js believes any server, is refused', async () => {
  const sandbox = new Sandbox()
  try {
    const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }
    const { code, stderr } = await sandbox.run(['--version'], { env })
    expect(code).toBe(78)
    expect(stderr).toContain('NODE_TLS_REJECT_UNAUTHORIZED is 0')
  } finally {
    await sandbox.close()
  }
})

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('on a token'), () => {
  test('neither plaintext nor PIN, be it right or wrong', async () => {
    const sandbox = await HsmSandbox.make()
    try {
      const port = await freePort()
      const health = { address: `127.0.0.1:${port}`, probeInterval: '100ms' }
      const plugin = await sandbox.serveHsm({ ...talk, health }, { env: talkative })
      const { errors } = await converse(sandbox.socket)
      const [child] = childrenOf(plugin.pid)
      const outputs: Outputs = {
        errors,
        ...(await pagesOf(port)),
        ...procOf('plugin', plugin.pid),
        ...procOf('HSM process', child!),
      }
      process.kill(child!, 'SIGKILL')
      await until(() => childrenOf(plugin.pid).some((pid) => pid !== child))
      for (const command of ['check', 'status'])
        Object.assign(outputs, outputOf(command, await sandbox.onToken(command)))
      await plugin.stop()

      const pin = `file:${sandbox.writeFile('wrong', wrongPin)}`
      const wrong = sandbox.hsmConfig({ ...talk, keys: { hsm: sandbox.key({ pin }) } })
      const refused = sandbox.begin(wrong, { env: { ...sandbox.hsm.env, ...talkative } })
      await refused.says('a key fails its probe')
      await refused.stop()

      const canaries: Canary[] = [
        { name: 'plaintext', bytes: plaintext },
        { name: 'PIN', bytes: Buffer.from(sandbox.hsm.pin) },
        { name: 'wrong PIN', bytes: Buffer.from(wrongPin) },
      ]
      Object.assign(outputs, outputOf('plugin', ofProcess(plugin)), outputOf('refused', ofProcess(refused)))
      expect(leaks(canaries, outputs)).toEqual([])
    } finally {
      await sandbox.close()
    }
  })
})
