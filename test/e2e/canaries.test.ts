/** Nothing secret in any output: the whole conversation with recognisable secrets, at the most talkative log level. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { LocalKeyWrapper } from '../../src/adapters/backends/local/wrapper.js'
import { parseEnvelope } from '../../src/domain/envelope_format.js'
import { leaks, type Canary } from '../support/canaries.js'
import { childrenOf, HsmSandbox } from '../support/hsm.js'
import { KmsClient, refusal } from '../support/kms_client.js'
import { newEntry, readKeys, writeKeys } from '../support/local_keys.js'
import { freePort, Sandbox, until, type Process } from '../support/plugin.js'
import { framed, RawClient, v2Message } from '../support/raw_grpc.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const plaintext = Buffer.from('CANARY-PLAINTEXT-of-32-bytes!!!!')
const keyBytes = Buffer.from('CANARY-KEK-in-a-file-of-32-bytes')
const wrongPin = 'CANARY-WRONG-PIN'

/** Variables that make libraries talk. */
const talkative = {
  GRPC_TRACE: 'all',
  GRPC_VERBOSITY: 'DEBUG',
  GRPC_NODE_TRACE: 'all',
  GRPC_NODE_VERBOSITY: 'DEBUG',
  GRPC_NODE_DEBUG_SEND_ERROR_DETAILS: 'true',
}

type Outputs = Record<string, string | Uint8Array>

/** Everything that a caller can provoke; the texts of the errors. */
async function converse(socket: string): Promise<{ errors: string; ciphertext: Buffer }> {
  const client = new KmsClient(socket)
  const raw = new RawClient(socket)
  try {
    const sealed = await client.v2Encrypt(plaintext)
    expect(await client.v2Decrypt(sealed)).toEqual(plaintext)
    expect(await client.v1Decrypt(await client.v1Encrypt(plaintext))).toEqual(plaintext)
    const broken = Buffer.from(sealed.ciphertext)
    broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 1, broken.length - 1)
    const request = v2Message('Encrypt', { plaintext, uid: 'uid' })
    const endings = await Promise.all([
      raw.call('/v2.KeyManagementService/Encrypt', framed(request.subarray(0, -7))),
      raw.call('/v2.KeyManagementService/Encrypt', framed(Buffer.concat([request, Buffer.of(0x0f)]))),
      raw.call('/v2.KeyManagementService/Encrypt', framed(request, { compressed: true }), {
        'grpc-encoding': 'gzip',
      }),
      raw.call('/v2.KeyManagementService/None', framed(request)),
    ])
    const refused = [
      await refusal(client.v2Encrypt(Buffer.concat(Array.from({ length: 40 }, () => plaintext)))),
      await refusal(client.v2Encrypt(Buffer.concat(Array.from({ length: 5000 }, () => plaintext)))),
      await refusal(client.v2Decrypt({ ...sealed, ciphertext: broken })),
      await refusal(client.v2Decrypt({ ...sealed, ciphertext: plaintext })),
      await refusal(client.v2Decrypt({ ...sealed, keyId: plaintext.toString() })),
      await refusal(client.v1Decrypt(plaintext)),
      await refusal(client.v1Encrypt(plaintext, plaintext.toString())),
    ]
    const errors = [...refused, ...endings.map(({ grpcMessage }) => grpcMessage)].join('\n')
    return { errors, ciphertext: sealed.ciphertext }
  } finally {
    client.close()
    raw.close()
  }
}

async function pagesOf(port: number): Promise<Outputs> {
  const pages: Outputs = {}
  for (const path of ['/livez', '/readyz', '/healthz', '/metrics', '/none'])
    pages[path] = await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
  return pages
}

/** What any process of the same user can read about ours. */
function procOf(name: string, pid: number): Outputs {
  return Object.fromEntries(
    ['cmdline', 'environ', 'status', 'comm'].map((file) => [
      `${name} ${file}`,
      readFileSync(`/proc/${pid}/${file}`),
    ]),
  )
}

const outputOf = (name: string, { stdout, stderr }: { stdout: string; stderr: string }): Outputs => ({
  [`${name} stdout`]: stdout,
  [`${name} stderr`]: stderr,
})

const ofProcess = (plugin: Process) => ({ stdout: plugin.stdout(), stderr: plugin.stderr() })

const talk = { log: { level: 'trace', allValues: true }, server: { kmsV1: true } }

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
