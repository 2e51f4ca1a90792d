import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { KmsError } from '../../../src/ports/errors.js'
import type { Explanation } from '../../../src/ports/operations.js'
import { kmsV2 } from '../etcd/stored_values.js'
import { run, type Ran, type World } from './run.js'

const keyName = Buffer.from('k8s:enc:aescbc:v1:key1:')
/** Its last byte is no newline. */
const value = Buffer.concat([keyName, randomBytes(63), Buffer.of(1)])

async function inspect(stdin: Uint8Array, ...argv: string[]): Promise<Ran & { explanation: Explanation }> {
  const ran = await run(['inspect', '--json', ...argv], { stdin })
  return { ...ran, explanation: JSON.parse(ran.stdout) as Explanation }
}

function field({ explanation }: { explanation: Explanation }, label: string): string | undefined {
  return explanation.fields.find((candidate) => candidate.label === label)?.value
}

describe('what is wrong', () => {
  test('a damaged or unknown value exits with 1 and is still explained', async () => {
    const ran = await run(['inspect'], { stdin: value.subarray(0, -1) })
    expect(ran.exitCode).toBe(1)
    expect(ran.stdout).toContain('not well formed')
    expect((await inspect(randomBytes(100))).exitCode).toBe(1)
  })

  const cases: readonly (readonly [string, string[], World])[] = [
    ['no input', [], { stdin: Buffer.of() }],
    ['a terminal instead of input', [], { isTty: true, stdin: value }],
    ['a file that is not there', ['missing.bin'], {}],
  ]
  test.each(cases)('%s is wrong usage', async (_, argv, world) => {
    expect(await run(['inspect', ...argv], world)).toMatchObject({ exitCode: 64, stdout: '' })
  })

  test('a missing file is named with its reason', async () => {
    expect((await run(['inspect', 'missing.bin'])).stderr).toContain('cannot read missing.bin: ENOENT')
  })

  test('key names that cannot be had are a warning, and the value is explained without them', async () => {
    const keyNames = async (): Promise<never> => {
      throw new KmsError('ERR_BACKEND_UNAVAILABLE', 'keys.hsm: no token')
    }
    const ran = await run(['inspect', '--config', '/x.yaml'], { stdin: value, services: { keyNames } })
    expect(ran.exitCode).toBe(0)
    expect(ran.stderr).toBe('kmsplugin: no key names: keys.hsm: no token\n')
    expect(ran.stdout).toContain('key1')
  })
})

describe('where the value comes from', () => {
  test('from stdin, by default and by -', async () => {
    expect((await run(['inspect'], { stdin: value })).exitCode).toBe(0)
    expect((await run(['inspect', '-'], { stdin: value, isTty: true })).exitCode).toBe(0)
  })

  test('from a file', async () => {
    const ran = await run(['inspect', 'value.bin'], { files: { 'value.bin': value } })
    expect(ran.exitCode).toBe(0)
  })

  test('no configuration is read unless it was asked for', async () => {
    expect((await run(['inspect'], { stdin: value, env: { KMSPLUGIN_CONFIG: '/x' } })).calls).toEqual([])
    expect((await run(['inspect', '--config', '/x'], { stdin: value })).calls).toEqual(['load /x'])
  })
})

test('with --config, key ids get their configured names', async () => {
  const kek = `local:${'a'.repeat(26)}`
  const keyId = `${kek}.${'b'.repeat(26)}`
  const stdin = kmsV2('p', {
    keyID: keyId,
    encryptedData: Buffer.alloc(40),
    encryptedDEKSource: Buffer.alloc(40),
  })
  const keyNames = async (): Promise<ReadonlyMap<string, string>> => new Map([[kek, 'hsm']])
  const ran = await run(['inspect', '--config', '/x.yaml'], { stdin, services: { keyNames } })
  expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
  expect(ran.stdout).toMatch(/^key id is of key +hsm$/m)
})

test('the text is one sentence and aligned fields', async () => {
  const ran = await run(['inspect'], { stdin: value })
  expect(ran.stdout).toBe(
    'Encrypted by kube-apiserver itself with AES-CBC under the key "key1"; no KMS plugin is involved.\n' +
      'input                 raw\n' +
      `value bytes           ${value.length}\n` +
      'scheme                aescbc\n' +
      'scheme version        v1\n' +
      'key name              key1\n' +
      'encrypted data bytes  64\n' +
      'plaintext bytes       32 to 47\n',
  )
})

describe('the newline that etcdctl adds', () => {
  test('is not taken for a part of the value', async () => {
    const ran = await inspect(Buffer.concat([value, Buffer.from('\n')]))
    expect(ran.exitCode).toBe(0)
    expect(field(ran, 'input')).toBe('raw, without the newline at its end')
    expect(field(ran, 'encrypted data bytes')).toBe('64')
  })

  test('is left to a value that needs it', async () => {
    const ran = await inspect(Buffer.concat([value.subarray(0, -1), Buffer.from('\n')]))
    expect(ran.exitCode).toBe(0)
    expect(field(ran, 'input')).toBe('raw')
    expect(field(ran, 'encrypted data bytes')).toBe('64')
  })

  test('is not taken from a value that came as text', async () => {
    const gcm = Buffer.concat([Buffer.from('k8s:enc:aesgcm:v1:k:'), randomBytes(40), Buffer.from('\n')])
    const ran = await inspect(Buffer.from(gcm.toString('base64')))
    expect(field(ran, 'encrypted data bytes')).toBe('41')
  })
})
