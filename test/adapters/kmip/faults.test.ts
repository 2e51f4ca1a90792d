/** What becomes of a call when network, server or files fail: remote_faults.ts, in the words of KMIP. */
import { chmodSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ringKey } from '../../../src/domain/keys.js'
import type { RetryConfig } from '../../../src/ports/config.js'
import type { KmsError } from '../../../src/ports/errors.js'
import type { KeyWrapper, WrappedDek } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { RecordingMetrics } from '../../doubles/recording_metrics.js'
import { takeThreads } from '../../support/busy_threads.js'
import { makeAuthority, type Certificate } from '../../support/certificates.js'
import { FakeKmip, OPERATIONS, type KmipFault } from '../../support/fakes/kmip.js'
import { FaultProxy } from '../../support/fault_proxy.js'
import type { KmipSettings } from '../../../src/adapters/backends/kmip/settings.js'
import { clock, failureOf, Scene, within } from './scene.js'

const CALL_TIMEOUT_MS = 600
const policy: RetryConfig = {
  maxRetries: 2,
  callTimeoutMs: CALL_TIMEOUT_MS,
  totalTimeoutMs: 2000,
  initialDelayMs: 10,
  maxDelayMs: 50,
}

let scene: Scene
let proxy: FaultProxy
let wrapper: KeyWrapper
let errors: KmsError[]

/** As the core calls it: bounded, and tried again by the one policy. */
function core(inner: KeyWrapper, change: Partial<RetryConfig> = {}): KeyWrapper {
  return ringKey('kek', inner, { ...policy, ...change }, clock, new RecordingMetrics()).wrapper
}

function once(inner: KeyWrapper): KeyWrapper {
  return core(inner, { maxRetries: 0 })
}

function opened(change: Partial<KmipSettings> = {}): KeyWrapper {
  return scene.open({ address: `127.0.0.1:${proxy.port}`, ...change }, CALL_TIMEOUT_MS)
}

async function failed(call: Promise<unknown>): Promise<KmsError> {
  const error = await failureOf(call)
  errors.push(error)
  return error
}

async function works(): Promise<WrappedDek> {
  const wrapped = await core(wrapper).wrap(scene.dek, within())
  expect(Buffer.from(await core(wrapper).unwrap(wrapped, within())).equals(scene.dek)).toBe(true)
  return wrapped
}

const isDecrypt = ({ operation }: { readonly operation: number }) => operation === OPERATIONS.decrypt

beforeEach(async () => {
  scene = await Scene.start()
  proxy = await FaultProxy.start(scene.fake.port)
  errors = []
  wrapper = opened()
})

afterEach(async () => {
  const said = JSON.stringify([
    scene.logger.lines,
    errors.map((error) => [String(error), String(error.cause)]),
  ])
  await scene.close()
  await proxy.close()
  for (const secret of [
    scene.dek.toString('hex'),
    scene.dek.toString('base64'),
    scene.dek.toString('latin1'),
  ]) {
    expect(said).not.toContain(secret)
  }
})

describe('the network', () => {
  test.each([
    ['refuse', 'ERR_BACKEND_UNREACHABLE'],
    ['reset', 'ERR_BACKEND_UNREACHABLE'],
    ['torn', 'ERR_BACKEND_UNREACHABLE'],
    ['blackhole', 'ERR_DEADLINE_EXCEEDED'],
  ] as const)('that does this ends the call in time, and nothing after it: %s', async (fault, code) => {
    const wrapped = await works()
    await proxy.fail(fault)
    expect((await failed(core(wrapper).unwrap(wrapped, within()))).code).toBe(code)
    expect((await failed(core(wrapper).wrap(scene.dek, within()))).code).toBe(code)
    await proxy.fail(undefined)
    await works()
  })

  test.each(['refuse', 'reset', 'blackhole'] as const)(
    'may do this at start, and the plugin works without a restart afterwards: %s',
    async (fault) => {
      await proxy.fail(fault)
      await failed(once(wrapper).currentKeyId(within()))
      await proxy.fail(undefined)
      await works()
    },
  )

  test('that loses one connection is not noticed', async () => {
    const wrapped = await works()
    await proxy.fail('reset')
    await proxy.fail(undefined)
    expect(await outcomeOf(once(wrapper).unwrap(wrapped, within()))).toBe('OK')
  })

  test('that is slow is waited for within the time limit of a call', async () => {
    const wrapped = await works()
    proxy.slow(60)
    expect(await outcomeOf(once(wrapper).unwrap(wrapped, within()))).toBe('OK')
  })

  test('with a name that DNS does not know ends the call in time', async () => {
    const { code } = await failed(core(opened({ address: 'kms.invalid' })).currentKeyId(within()))
    expect(['ERR_BACKEND_UNREACHABLE', 'ERR_DEADLINE_EXCEEDED']).toContain(code)
  })
})

describe('a connection', () => {
  test('is kept: two hundred calls take one', async () => {
    const wrapped = await works()
    const before = scene.fake.connections
    for (let i = 0; i < 200; i += 1) await wrapper.unwrap(wrapped, within())
    expect(scene.fake.connections).toBe(before)
  })

  test('serves 200 calls at once over four', async () => {
    const wrapped = await works()
    const patient = scene.open({ address: `127.0.0.1:${proxy.port}` })
    const before = scene.fake.connections
    const all = await Promise.all(Array.from({ length: 200 }, async () => patient.unwrap(wrapped, within())))
    expect(all.every((dek) => Buffer.from(dek).equals(scene.dek))).toBe(true)
    expect(scene.fake.connections - before).toBeLessThanOrEqual(4)
  })

  test('that the server closed while it was idle is replaced, and nobody notices', async () => {
    const wrapped = await works()
    scene.fake.hangUp()
    expect(await outcomeOf(once(wrapper).unwrap(wrapped, within()))).toBe('OK')
  })

  test('on which a call ran out of time carries no other: its answer would be taken for the next one’s', async () => {
    const wrapped = await works()
    const other = await wrapper.wrap(Buffer.alloc(32, 7), within())
    const before = scene.fake.connections
    scene.fake.failNext('stall', 1, isDecrypt)
    expect((await failed(wrapper.unwrap(wrapped, within(200)))).code).toBe('ERR_DEADLINE_EXCEEDED')
    expect(Buffer.from(await wrapper.unwrap(other, within())).equals(Buffer.alloc(32, 7))).toBe(true)
    expect(scene.fake.connections).toBe(before + 1)
  })

  test('on which the server speaks unasked is not used any more', async () => {
    const wrapped = await works()
    const before = scene.fake.connections
    scene.fake.babble(Buffer.from('hello'))
    expect(await outcomeOf(core(wrapper).unwrap(wrapped, within()))).toBe('OK')
    expect(scene.fake.connections).toBe(before + 1)
  })

  test('waits for its turn no longer than its caller', async () => {
    const wrapped = await works()
    scene.fake.failNext('stall', Infinity, isDecrypt)
    const calls = Array.from({ length: 12 }, async () => failed(wrapper.unwrap(wrapped, within(300))))
    const codes = (await Promise.all(calls)).map(({ code }) => code)
    expect(new Set(codes)).toEqual(new Set(['ERR_DEADLINE_EXCEEDED']))
    scene.fake.fault = undefined
    await works()
  })
})

describe('an answer', () => {
  test.each(['torn', 'reset'] as const)('that breaks off is tried again: %s', async (fault) => {
    const wrapped = await works()
    scene.fake.failNext(fault, 1, isDecrypt)
    expect(await outcomeOf(core(wrapper).unwrap(wrapped, within()))).toBe('OK')
    scene.fake.failNext(fault, Infinity, isDecrypt)
    expect((await failed(once(wrapper).unwrap(wrapped, within()))).code).toBe('ERR_BACKEND_UNREACHABLE')
  })

  test('that never comes ends the call in time', async () => {
    const wrapped = await works()
    scene.fake.failNext('stall', Infinity, isDecrypt)
    expect((await failed(core(wrapper).unwrap(wrapped, within()))).code).toBe('ERR_DEADLINE_EXCEEDED')
    scene.fake.fault = undefined
    await works()
  })

  test('that comes byte by byte is read', async () => {
    const wrapped = await works()
    scene.fake.failNext({ bytes: (answer) => Array.from(answer, (byte) => Buffer.of(byte)) }, Infinity)
    expect(await outcomeOf(once(wrapper).unwrap(wrapped, within()))).toBe('OK')
  })

  const changed = (change: (answer: Buffer) => void): KmipFault => ({
    bytes: (answer) => {
      change(answer)
      return answer
    },
  })
  /** Where the item with this tag begins. */
  const at = (answer: Buffer, tag: number): number =>
    answer.indexOf(Buffer.from([tag >> 16, (tag >> 8) & 255, tag & 255]))

  test.each([
    ['a page of a web server', { bytes: () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') }],
    ['a request', { bytes: (answer: Buffer) => (answer.writeUInt8(0x78, 2), answer) }],
    ['two answers', { bytes: (answer: Buffer) => Buffer.concat([answer, answer]) }],
    ['a byte too many', { bytes: (answer: Buffer) => Buffer.concat([answer, Buffer.of(0)]) }],
    ['a length of two gigabytes', changed((answer) => answer.writeUInt32BE(0x7fffffff, 4))],
    ['a length that is too short', changed((answer) => answer.writeUInt32BE(answer.length - 16, 4))],
    [
      'an inner length that is too long',
      changed((answer) => answer.writeUInt32BE(0xfffffff0, at(answer, 0x42007a) + 4)),
    ],
    ['another batch count', changed((answer) => answer.writeInt32BE(2, at(answer, 0x42000d) + 8))],
    [
      'the id of another question',
      changed((answer) =>
        answer.writeUInt8(answer.readUInt8(at(answer, 0x420093) + 8) ^ 1, at(answer, 0x420093) + 8),
      ),
    ],
    ['another operation', changed((answer) => answer.writeUInt32BE(0x1f, at(answer, 0x42005c) + 8))],
    ['another version', changed((answer) => answer.writeInt32BE(3, at(answer, 0x42006b) + 8))],
    ['a status that is none', changed((answer) => answer.writeUInt32BE(9, at(answer, 0x42007f) + 8))],
    ['another key', changed((answer) => answer.writeUInt8(0x39, at(answer, 0x420094) + 8))],
    ['padding that is not zero', changed((answer) => answer.writeUInt8(1, at(answer, 0x420094) + 15))],
    ['data of another type', changed((answer) => answer.writeUInt8(7, at(answer, 0x4200c2) + 3))],
    ['no data', changed((answer) => answer.writeUInt8(0xc3, at(answer, 0x4200c2) + 2))],
  ] as const)('that is none is refused, whatever it is: %s', async (_name, fault) => {
    const wrapped = await works()
    const before = scene.fake.connections
    scene.fake.failNext(fault, Infinity, isDecrypt)
    expect((await failed(once(wrapper).unwrap(wrapped, within()))).code).toBe('ERR_BACKEND_RESPONSE')
    scene.fake.fault = undefined
    await works()
    expect(scene.fake.connections).toBe(before + 1)
  })

  test('with another IV than ours is refused', async () => {
    const fault: KmipFault = {
      bytes: (answer) => {
        // The ciphertext is passed for an IV, and there is no data any more: either is enough.
        answer.writeUInt16BE(0x003d, at(answer, 0x4200c2) + 1)
        return answer
      },
    }
    scene.fake.failNext(fault, Infinity, ({ operation }) => operation === OPERATIONS.encrypt)
    const error = await failed(once(wrapper).wrap(scene.dek, within()))
    expect([error.code, error.message]).toEqual([
      'ERR_BACKEND_RESPONSE',
      expect.stringContaining('another IV'),
    ])
  })
})

describe('a server that is ill', () => {
  test('for a moment is asked again', async () => {
    const wrapped = await works()
    scene.fake.failNext({ reason: 0x2a }, 1, isDecrypt)
    expect(await outcomeOf(core(wrapper).unwrap(wrapped, within()))).toBe('OK')
  })

  test('is told from bad data by a DEK that is known to be good', async () => {
    const held = core(wrapper)
    const wrapped = await held.wrap(scene.dek, within())
    await held.unwrap(wrapped, within())
    scene.fake.habits = { badTagReason: 0x100 }
    const bytes = Buffer.from(wrapped.bytes)
    bytes.writeUInt8(bytes.readUInt8(20) ^ 1, 20)
    expect((await failed(held.unwrap({ ...wrapped, bytes }, within()))).code).toBe('ERR_DECRYPTION_FAILED')
    scene.fake.failNext({ reason: 0x100 }, Infinity, isDecrypt)
    expect((await failed(held.unwrap(wrapped, within()))).code).toBe('ERR_BACKEND_UNAVAILABLE')
  })

  test('while the way to wrap is chosen is not taken for one that cannot', async () => {
    scene.fake.failNext({ reason: 0x100 }, Infinity, ({ operation }) => operation === OPERATIONS.encrypt)
    expect((await failed(once(wrapper).wrap(scene.dek, within()))).code).toBe('ERR_BACKEND_UNAVAILABLE')
    scene.fake.fault = undefined
    expect((await works()).bytes[0]).toBe(1)
  })

  test('and does not greet ends the call in time', async () => {
    scene.fake.faultsGreetings = true
    scene.fake.failNext('stall', Infinity)
    expect((await failed(once(wrapper).currentKeyId(within()))).code).toBe('ERR_DEADLINE_EXCEEDED')
    scene.fake.fault = undefined
    await works()
  })

  test('does not keep a call that is under way when the plugin stops', async () => {
    const wrapped = await works()
    scene.fake.failNext('stall', Infinity, isDecrypt)
    const before = scene.fake.requests.length
    const call = failed(wrapper.unwrap(wrapped, within()))
    while (scene.fake.requests.length === before) await clock.sleep(1)
    await wrapper.close()
    expect((await call).code).toBe('ERR_SHUTTING_DOWN')
    expect((await failed(wrapper.unwrap(wrapped, within()))).code).toBe('ERR_SHUTTING_DOWN')
  })
})

describe('the certificate of the server', () => {
  /** A wrapper that meets a server with another certificate. */
  const meets = async ({ cert, key }: Certificate, change: Partial<KmipSettings> = {}): Promise<KmsError> => {
    const other = await FakeKmip.start({ cert, key })
    try {
      const error = await failed(
        once(opened({ address: `127.0.0.1:${other.port}`, ...change })).currentKeyId(within()),
      )
      expect(other.requests).toEqual([])
      return error
    } finally {
      await other.close()
    }
  }

  test.each([
    [
      'that has expired',
      { notBefore: new Date(Date.now() - 2e8), notAfter: new Date(Date.now() - 1e8) },
      'expired',
    ],
    ['that is not valid yet', { notBefore: new Date(Date.now() + 1e7) }, 'not valid yet'],
    ['for another name', { names: ['kms.example.com'] }, 'another name'],
  ] as const)('%s is refused', async (_name, wish, text) => {
    const error = await meets(await scene.authority.issue(wish))
    expect([error.code, error.message]).toEqual(['ERR_BACKEND_UNREACHABLE', expect.stringContaining(text)])
  })

  test('of an unknown authority is refused', async () => {
    const error = await meets(await (await makeAuthority('somebody else')).issue())
    expect([error.code, error.message]).toEqual([
      'ERR_BACKEND_UNREACHABLE',
      expect.stringContaining('authority'),
    ])
  })

  test('is asked for by the name in the address', async () => {
    const { cert, key } = await scene.authority.issue({ names: ['localhost'] })
    const other = await FakeKmip.start({ cert, key })
    other.addKey()
    try {
      const at = async (host: string) =>
        once(opened({ address: `${host}:${other.port}` })).currentKeyId(within())
      expect(await outcomeOf(at('localhost'))).toBe('OK')
      expect(await outcomeOf(at('127.0.0.1'))).toBe('ERR_BACKEND_UNREACHABLE')
    } finally {
      await other.close()
    }
  })

  test('is looked at again when the CA file was replaced', async () => {
    const second = await makeAuthority('the next authority')
    const other = await FakeKmip.start(await second.issue())
    other.addKey()
    const caFile = scene.files.write('two.pem', scene.authority.cert)
    const late = opened({ address: `127.0.0.1:${other.port}`, caFile })
    try {
      expect(await outcomeOf(once(late).currentKeyId(within()))).toBe('ERR_BACKEND_UNREACHABLE')
      scene.files.write('two.pem', `${scene.authority.cert}\n${second.cert}`)
      expect(await outcomeOf(once(late).currentKeyId(within()))).toBe('OK')
    } finally {
      await other.close()
    }
  })
})

describe('our certificate', () => {
  test.each([['TLSv1.2'], ['TLSv1.3']] as const)(
    'of an authority that the server does not know is refused, in words: %s',
    async (version) => {
      const other = await FakeKmip.start({
        ...(await scene.authority.issue()),
        ca: (await makeAuthority('the only one it knows')).cert,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: version,
        maxVersion: version,
      })
      try {
        const error = await failed(
          once(opened({ address: `127.0.0.1:${other.port}` })).currentKeyId(within()),
        )
        expect(error.code).toBe('ERR_BACKEND_UNREACHABLE')
        expect(error.message).toMatch(/client certificate/)
      } finally {
        await other.close()
      }
    },
  )

  test('that was replaced on the disk is used without a restart', async () => {
    await works()
    const before = scene.fake.connections
    const next = await scene.authority.issue({ commonName: 'kmsplugin' })
    scene.files.write('client.pem', next.cert)
    scene.files.write('client.key', next.key)
    await works()
    expect(scene.fake.connections).toBe(before + 1)
  })

  test('whose key was not replaced yet is passed over, and the last one stays', async () => {
    await works()
    scene.files.write('client.pem', (await scene.authority.issue()).cert)
    await works()
    expect(scene.logger.texts('warn').join()).toContain('the last one stays')
  })

  test('whose file system hangs ends the calls in time, and holds no place after it', async () => {
    await works()
    const giveBack = takeThreads()
    try {
      const calls = Array.from({ length: 8 }, async () => failed(wrapper.wrap(scene.dek, within())))
      for (const error of await Promise.all(calls)) expect(error.code).toBe('ERR_DEADLINE_EXCEEDED')
    } finally {
      await giveBack()
    }
    await works()
  })

  test('whose key had a loose mode is taken once that was mended', async () => {
    await works()
    const next = await scene.authority.issue({ commonName: 'kmsplugin' })
    scene.files.write('client.pem', next.cert)
    const key = scene.files.write('client.key', next.key)
    chmodSync(key, 0o644)
    await works()
    expect(scene.logger.texts('warn').join()).toContain('the last one stays')
    const before = scene.fake.connections
    chmodSync(key, 0o600)
    await works()
    expect(scene.fake.connections).toBe(before + 1)
  })

  test.each([['caFile'], ['clientCertFile'], ['clientKeyFile']] as const)(
    'and the others are named when they cannot be used: %s',
    async (setting) => {
      for (const path of [
        `${scene.files.folder}/absent.pem`,
        scene.files.write('bad.pem', 'no certificate'),
      ]) {
        const error = await failed(once(opened({ [setting]: path })).currentKeyId(within()))
        expect([error.code, error.message]).toEqual(['ERR_CONFIG_INVALID', expect.stringContaining(path)])
      }
    },
  )

  test('has a key that others may not read', async () => {
    const clientKeyFile = scene.files.write('loose.key', 'x', 0o644)
    const error = await failed(once(opened({ clientKeyFile })).currentKeyId(within()))
    expect([error.code, error.message]).toEqual(['ERR_CONFIG_INVALID', expect.stringContaining('chmod 600')])
  })
})
