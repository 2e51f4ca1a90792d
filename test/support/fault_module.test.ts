/** The fault module does what the head of fault_module/control.c says, and without that nothing at all. */
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { checkModuleFile } from '../../src/adapters/backends/pkcs11/module_file.js'
import {
  faultModuleMissing,
  makeFaultModule,
  onFaultModule,
  overlapping,
  type FaultModule,
} from './fault_module.js'
import { makeNss, nssMissing } from './modules/nss.js'
import { unlessMissing, type TokenModule } from './modules/token_module.js'
import { Pkcs11Driver, rvOf } from './pkcs11_driver.js'
import { until } from './plugin.js'
import { makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from './softhsm.js'

// pkcs11t.h
const CKA = {
  class: 0,
  token: 1,
  private: 2,
  label: 3,
  value: 0x11,
  keyType: 0x100,
  sensitive: 0x103,
  encrypt: 0x104,
  decrypt: 0x105,
  wrap: 0x106,
  unwrap: 0x107,
  sign: 0x108,
  extractable: 0x162,
}
const CKM_SHA256 = 0x250
const CKM_SHA256_HMAC = 0x251
const CKM_AES_KEY_GEN = 0x1080
const CKM_AES_GCM = 0x1087
const CKM_AES_KEY_WRAP = 0x2109
const CKU_USER = 1
const PIN_COUNT_LOW = 0x10000
const PIN_FINAL_TRY = 0x20000
const PIN_LOCKED = 0x40000
const PIN_FLAGS = PIN_COUNT_LOW | PIN_FINAL_TRY | PIN_LOCKED

const aesKey = (label: string, value: Buffer, isOnToken = false) => [
  { type: CKA.class, value: 4 },
  { type: CKA.keyType, value: 0x1f },
  { type: CKA.token, value: isOnToken },
  { type: CKA.private, value: true },
  { type: CKA.sensitive, value: false },
  { type: CKA.extractable, value: true },
  ...[CKA.encrypt, CKA.decrypt, CKA.wrap, CKA.unwrap, CKA.sign].map((type) => ({ type, value: true })),
  { type: CKA.label, value: label },
  { type: CKA.value, value },
]
const labelled = (label: string) => [{ type: CKA.label, value: label }]
const iv = Buffer.alloc(12, 7)
const data = Buffer.alloc(32, 9)

interface Token {
  readonly label: string
  readonly pin: string
  readonly parameters?: object
}

/** What a module answers to a long list of calls, good ones and bad ones, without the time of day. */
async function trace(driver: Pkcs11Driver, { label, pin, parameters = {} }: Token): Promise<unknown[]> {
  const answers: unknown[] = []
  const ask = async <T>(name: string, ...args: unknown[]): Promise<T> => {
    const answer = await driver.call<T>(name, ...args).catch((error: unknown) => String(error))
    answers.push([name, name === 'C_GetTokenInfo' ? { ...Object(answer), utcTime: '' } : answer])
    return answer as T
  }
  await ask('C_GetSlotList', true)
  await ask('C_Initialize', { flags: 2, ...parameters })
  await ask('C_Initialize', { flags: 2, ...parameters })
  await ask('C_GetInfo')
  for (const slot of await ask<Uint8Array[]>('C_GetSlotList', true)) {
    await ask('C_GetSlotInfo', slot)
    await ask('C_GetTokenInfo', slot)
    for (const type of await ask<number[]>('C_GetMechanismList', slot))
      await ask('C_GetMechanismInfo', slot, type)
  }
  await ask('C_OpenSession', Buffer.alloc(8, 0x77), 6)
  const session = await driver.open(label)
  const second = await driver.open(label)
  await ask('C_GetSessionInfo', session)
  await ask('C_CreateObject', session, aesKey('x', Buffer.alloc(32, 1)))
  await ask('C_Login', session, CKU_USER, 'not this')
  await ask('C_Login', session, CKU_USER, pin)
  await ask('C_Login', second, CKU_USER, pin)
  await ask('C_GetSessionInfo', session)
  const key = await ask<Uint8Array>('C_CreateObject', session, aesKey('one', Buffer.alloc(32, 1)))
  const other = await ask<Uint8Array>('C_CreateObject', session, aesKey('two', Buffer.alloc(32, 2)))
  await ask('find', session, labelled('one'))
  await ask('find', session, labelled('none'))
  for (const type of [CKA.label, CKA.value, 0x123456])
    await ask('C_GetAttributeValue', session, key, [{ type }])
  const { out } = await ask<{ out: Uint8Array }>('gcm', 'Encrypt', session, key, { iv, data })
  await ask('gcm', 'Encrypt', session, key, { iv, data, room: 40 })
  await ask('C_CloseSession', second)
  const third = await driver.open(label)
  await ask('gcm', 'Decrypt', third, key, { iv, data: out })
  await ask('gcm', 'Decrypt', third, key, { iv, data: Buffer.from(out).fill(0, 0, 1) })
  const wrap = { mechanism: CKM_AES_KEY_WRAP }
  const wrapped = await ask<Uint8Array>('C_WrapKey', third, wrap, key, other, Buffer.alloc(100))
  await ask('C_UnwrapKey', third, wrap, key, wrapped, aesKey('three', data).slice(0, -1))
  await ask('C_DigestInit', third, { mechanism: CKM_SHA256 })
  await ask('C_Digest', third, data, Buffer.alloc(64))
  await ask('C_SignInit', third, { mechanism: CKM_SHA256_HMAC }, key)
  await ask('C_EncryptInit', third, { mechanism: 0x99999 }, key)
  await ask('C_EncryptInit', third, { mechanism: CKM_AES_GCM }, Buffer.alloc(8, 0x77))
  await ask('C_DestroyObject', third, other)
  await ask('C_DestroyObject', third, other)
  await ask('C_Logout', session)
  await ask('C_Logout', session)
  await ask('C_CloseSession', third)
  await ask('C_CloseSession', third)
  await ask('C_Finalize')
  await ask('C_GetInfo')
  return answers
}

async function tracesOf(real: string, fault: FaultModule, env: Record<string, string>, token: Token) {
  const traces = []
  for (const module of [real, fault.path]) {
    const driver = new Pkcs11Driver(module, env)
    traces.push(await trace(driver, token))
    await driver.close()
  }
  return traces as [unknown[], unknown[]]
}

const missing = softHsmMissing ?? faultModuleMissing

describe.skipIf(missing !== undefined)(onSoftHsm(onFaultModule('the fault module over SoftHSM')), () => {
  let hsm: SoftHsm
  let fault: FaultModule
  let driver: Pkcs11Driver
  let session: Uint8Array
  let key: Uint8Array

  beforeAll(async () => {
    hsm = await makeSoftHsm()
    const maker = new Pkcs11Driver(hsm.module, hsm.env)
    await maker.initialize()
    const own = await maker.open(hsm.tokenLabel)
    await maker.call('C_Login', own, CKU_USER, hsm.pin)
    await maker.call('C_CreateObject', own, aesKey('kek', Buffer.alloc(32, 3), true))
    await maker.close()
  })

  afterAll(async () => hsm.remove())

  beforeEach(async () => {
    fault = makeFaultModule(hsm)
    driver = new Pkcs11Driver(fault.path, hsm.env)
    await driver.initialize()
    session = await driver.open(hsm.tokenLabel)
    await login(session)
    key = await findKek()
  })

  afterEach(async () => driver.close())

  const login = async (of: Uint8Array) => driver.call('C_Login', of, CKU_USER, hsm.pin)
  const findKek = async (of = session): Promise<Uint8Array> => {
    const [found] = await driver.call<Uint8Array[]>('find', of, labelled('kek'))
    return found!
  }
  const encrypt = async (thread = 0, of = session) =>
    driver.on<{ out: Uint8Array; iv: Uint8Array }>(thread, 'gcm', 'Encrypt', of, key, { iv, data })
  const decrypt = async (from: Uint8Array, ivOf: Uint8Array = iv) =>
    driver.call<{ out: Uint8Array }>('gcm', 'Decrypt', session, key, { iv: ivOf, data: from })
  const info = async () => driver.rv('C_GetSessionInfo', session)
  const answers = async (count: number): Promise<number[]> => {
    const all: number[] = []
    while (all.length < count) all.push(await info())
    return all
  }
  const callsOf = (name: string) => fault.calls().filter((call) => call.name === name)
  const waits = async (name: string) => until(() => callsOf(name).some(({ rv }) => rv === undefined))

  test('without rules it answers exactly what SoftHSM answers', async () => {
    const token = { label: hsm.tokenLabel, pin: hsm.pin }
    const [real, ours] = await tracesOf(hsm.module, makeFaultModule(hsm), hsm.env, token)
    expect(real.length).toBeGreaterThan(100)
    expect(ours).toEqual(real)
  })

  test('its file may be loaded, and it is compiled once', async () => {
    expect(await checkModuleFile(fault.path)).toBe(fault.path)
    expect(readFileSync(makeFaultModule(hsm).path)).toEqual(readFileSync(fault.path))
  })

  test('a word that it does not know ends the process, and an unknown function is refused at once', async () => {
    expect(() => fault.set(['C_Encrpyt rv=5'])).toThrow('C_Encrpyt')
    expect(() => fault.set(['C_Encrpyt* rv=5'])).toThrow('C_Encrpyt*')
    for (const line of [
      'C_Encrypt rv',
      'C_Encrypt rv=x',
      'generation=1x',
      'nomech=1,,2',
      'hangs',
      '* prob=',
    ]) {
      fault.heal()
      const process = new Pkcs11Driver(fault.path, hsm.env)
      await process.initialize()
      fault.set([line])
      const answer = process.rv('C_GetInfo')
      expect(await Promise.race([answer, process.ended()]), line).toBe('SIGABRT')
    }
  })

  describe('rules', () => {
    test('an error code, always, until healed', async () => {
      fault.set(['C_GetSessionInfo rv=0x30'])
      expect(await answers(3)).toEqual([0x30, 0x30, 0x30])
      fault.heal()
      expect(await answers(2)).toEqual([0, 0])
    })

    test('after, times and every count calls of that function', async () => {
      fault.set(['C_GetSessionInfo rv=0x32 after=3 times=2'])
      expect(await answers(7)).toEqual([0, 0, 0, 0x32, 0x32, 0, 0])
      fault.set(['C_GetSessionInfo rv=0x32 every=3'])
      await driver.call('C_GetInfo')
      expect(await answers(7)).toEqual([0, 0, 0x32, 0, 0, 0x32, 0])
    })

    test('a probability', async () => {
      fault.set(['C_GetSessionInfo rv=0x5 prob=0.5'])
      expect(new Set(await answers(100))).toEqual(new Set([0, 5]))
      fault.set(['C_GetSessionInfo rv=0x5 prob=0'])
      expect(new Set(await answers(100))).toEqual(new Set([0]))
    })

    test('the first rule that fires counts; one that is held back leaves the call to the next', async () => {
      fault.set(['C_GetSessionInfo rv=1 times=1', 'C_GetSession* rv=2 times=1', '* rv=3 times=1', '* rv=4'])
      expect(await answers(4)).toEqual([1, 2, 3, 4])
      fault.set(['C_GetSessionInfo* rv=1', '* rv=4'])
      expect(await answers(1)).toEqual([1])
      expect(await driver.rv('C_GetInfo')).toBe(4)
    })

    test('every change of the file counts, however fast they follow each other', async () => {
      for (let rv = 0x30; rv < 0x60; rv++) {
        fault.set([`C_GetSessionInfo rv=0x${rv.toString(16)}`])
        expect(await info()).toBe(rv)
      }
    })

    test('a delay, with jitter', async () => {
      fault.set(['C_GetSessionInfo delay=30 jitter=30'])
      expect(await answers(5)).toEqual([0, 0, 0, 0, 0])
      for (const { beganMs, endedMs } of callsOf('C_GetSessionInfo').slice(-5)) {
        expect(endedMs - beganMs).toBeGreaterThanOrEqual(30)
      }
    })

    test('a call hangs until its line goes away, and then goes on; other threads are served meanwhile', async () => {
      fault.set(['C_GetSessionInfo hang times=1'])
      const hanging = info()
      await waits('C_GetSessionInfo')
      expect(await rvOf(driver.on(1, 'C_GetSessionInfo', session))).toBe(0)
      fault.set(['C_GetSessionInfo hang times=1', 'C_GetInfo rv=5'])
      expect(await rvOf(driver.on(1, 'C_GetInfo'))).toBe(5)
      expect(callsOf('C_GetSessionInfo').filter(({ rv }) => rv === undefined)).toHaveLength(1)
      fault.heal()
      expect(await hanging).toBe(0)
      expect(callsOf('C_GetSessionInfo').filter(({ rv }) => rv === undefined)).toHaveLength(0)
    })

    test('a stuck call stays so when its line has gone', async () => {
      fault.set(['C_GetSessionInfo stuck'])
      const stuck = info()
      await waits('C_GetSessionInfo')
      fault.heal()
      for (let i = 0; i < 50; i++) expect(await rvOf(driver.on(1, 'C_GetInfo'))).toBe(0)
      expect(callsOf('C_GetSessionInfo').at(-1)?.rv).toBeUndefined()
      expect(await Promise.race([stuck, Promise.resolve('stuck')])).toBe('stuck')
    })

    test('post does the work and loses the answer', async () => {
      fault.set(['C_CreateObject rv=0x30 post'])
      expect(await driver.rv('C_CreateObject', session, aesKey('post', data))).toBe(0x30)
      fault.set(['C_CreateObject rv=0x30'])
      expect(await driver.rv('C_CreateObject', session, aesKey('pre', data))).toBe(0x30)
      expect(await driver.call('find', session, labelled('post'))).toHaveLength(1)
      expect(await driver.call('find', session, labelled('pre'))).toHaveLength(0)
    })

    test('flip changes one bit of the output', async () => {
      const { out } = await encrypt()
      fault.set(['C_Encrypt flip'])
      const { out: flipped } = await encrypt()
      const differing = [...out].map((byte, at) => byte ^ (flipped[at] ?? 0)).filter((bits) => bits !== 0)
      expect(flipped).toHaveLength(out.length)
      expect(differing).toEqual([1])
    })

    test('abort and segv end the process', async () => {
      for (const [word, signal] of [
        ['abort', 'SIGABRT'],
        ['segv', 'SIGSEGV'],
      ] as const) {
        fault.heal()
        const process = new Pkcs11Driver(fault.path, hsm.env)
        await process.initialize()
        fault.set([`C_GetInfo ${word}`])
        expect(await Promise.race([process.rv('C_GetInfo'), process.ended()])).toBe(signal)
        expect(callsOf('C_GetInfo').at(-1)?.rv).toBeUndefined()
      }
    })

    test('logout and closeall happen just before the call of a rule', async () => {
      fault.set(['C_FindObjectsInit logout times=1'])
      expect(await info()).toBe(0)
      expect(await driver.call('find', session, labelled('kek'))).toEqual([])
      expect(await rvOf(encrypt())).toBe(0x101)
      await login(session)
      key = await findKek()
      fault.set(['C_EncryptInit closeall times=1'])
      expect(await info()).toBe(0)
      expect(await rvOf(encrypt())).toBe(0xb3)
      expect(await info()).toBe(0xb3)
    })
  })

  describe('what happens to the token', () => {
    test('generation: all sessions are dead, also by every later call; a new one works after a login', async () => {
      const second = await driver.open(hsm.tokenLabel)
      fault.set(['generation=1'])
      expect(await info()).toBe(0xb3)
      expect(await driver.rv('C_GetSessionInfo', second)).toBe(0xb3)
      expect(await rvOf(encrypt())).toBe(0xb3)
      session = await driver.open(hsm.tokenLabel)
      expect(await rvOf(encrypt())).toBe(0x101)
      await login(session)
      expect(await rvOf(encrypt())).toBe(0x60)
      key = await findKek()
      expect(await rvOf(encrypt())).toBe(0)
      fault.heal()
      expect(await rvOf(encrypt())).toBe(0)
      expect(await driver.rv('C_GetSessionInfo', second)).toBe(0xb3)
      fault.set(['generation=1'])
      expect(await rvOf(encrypt())).toBe(0xb3)
    })

    test('logout: nobody is logged in, and handles are dead until they are found again', async () => {
      fault.set(['logout=1'])
      expect(await rvOf(encrypt())).toBe(0x101)
      expect(await driver.call('find', session, labelled('kek'))).toEqual([])
      expect(await driver.call('C_GetSessionInfo', session)).toMatchObject({ state: 2 })
      await login(session)
      expect(await rvOf(encrypt())).toBe(0x60)
      const type = CKA.label
      expect(await driver.rv('C_GetAttributeValue', session, key, [{ type }])).toBe(0x82)
      key = await findKek()
      expect(await rvOf(encrypt())).toBe(0)
      fault.set(['logout=1', 'maxsessions=9'])
      expect(await rvOf(encrypt())).toBe(0)
      fault.set(['logout=2'])
      expect(await rvOf(encrypt())).toBe(0x101)
    })

    test('what had happened before a process began does not happen to it', async () => {
      fault.set(['logout=3', 'generation=3', 'needinit=3'])
      const later = new Pkcs11Driver(fault.path, hsm.env)
      await later.initialize()
      const own = await later.open(hsm.tokenLabel)
      expect(await later.rv('C_Login', own, CKU_USER, hsm.pin)).toBe(0)
      expect(await later.rv('C_GetSessionInfo', own)).toBe(0)
      await later.close()
    })

    test('removed: no slot shows it and nothing works; it comes back without its sessions and handles', async () => {
      const [slot] = await driver.call<Uint8Array[]>('C_GetSlotList', true)
      fault.set(['removed=1'])
      expect(await driver.call('C_GetSlotList', true)).toEqual([])
      expect((await driver.call<unknown[]>('C_GetSlotList', false)).length).toBeGreaterThan(0)
      expect((await driver.call<{ flags: number }>('C_GetSlotInfo', slot)).flags & 1).toBe(0)
      for (const name of ['C_GetTokenInfo', 'C_GetMechanismList', 'C_CloseAllSessions']) {
        expect(await driver.rv(name, slot), name).toBe(0xe0)
      }
      expect(await driver.rv('C_OpenSession', slot, 6)).toBe(0xe0)
      expect(await info()).toBe(0x32)
      expect(await rvOf(encrypt())).toBe(0x32)
      fault.heal()
      expect(await info()).toBe(0xb3)
      session = await driver.open(hsm.tokenLabel)
      await login(session)
      expect(await rvOf(encrypt())).toBe(0x60)
      key = await findKek()
      expect(await rvOf(encrypt())).toBe(0)
    })

    test('needinit: every call fails until C_Finalize and C_Initialize, healed or not', async () => {
      fault.set(['needinit=1'])
      expect(await info()).toBe(0x30)
      fault.heal()
      expect(await driver.rv('C_GetSlotList', true)).toBe(0x30)
      expect(await driver.rv('C_Initialize', { flags: 2 })).toBe(0x191)
      expect(await info()).toBe(0x30)
      expect(await driver.rv('C_Finalize')).toBe(0)
      expect(await info()).toBe(0x190)
      await driver.initialize()
      session = await driver.open(hsm.tokenLabel)
      await login(session)
      key = await findKek()
      expect(await rvOf(encrypt())).toBe(0)
    })

    test('it happens while eight threads use it: no call crashes, and after a login all is well', async () => {
      const own = await Promise.all(Array.from({ length: 8 }, async () => driver.open(hsm.tokenLabel)))
      const use = async (thread: number) => {
        const seen: number[] = []
        for (let i = 0; i < 100; i++) seen.push(await rvOf(encrypt(thread, own[thread])))
        return seen
      }
      const all = Promise.all(own.map(async (_, thread) => use(thread)))
      for (let i = 1; i <= 5; i++) {
        fault.set([`logout=${i}`, ...(i === 5 ? ['generation=1'] : [])])
        await driver.on(9, 'C_GetInfo')
      }
      expect(new Set((await all).flat()).has(0xb3)).toBe(true)
      session = await driver.open(hsm.tokenLabel)
      await login(session)
      key = await findKek()
      expect(await rvOf(encrypt())).toBe(0)
    })
  })

  describe('limits and habits', () => {
    const manyAtOnce = async () => {
      const own = await Promise.all([0, 1, 2, 3].map(async () => driver.open(hsm.tokenLabel)))
      const from = callsOf('C_GetSessionInfo').length
      await Promise.all(own.map(async (of, thread) => driver.on(thread, 'C_GetSessionInfo', of)))
      return callsOf('C_GetSessionInfo').slice(from)
    }

    test('serialize: one call at a time', async () => {
      fault.set(['serialize=1', 'C_GetSessionInfo delay=20'])
      const calls = await manyAtOnce()
      const total =
        Math.max(...calls.map(({ endedMs }) => endedMs)) - Math.min(...calls.map((c) => c.beganMs))
      expect(total).toBeGreaterThanOrEqual(80)
    })

    test('maxsessions: one more is refused until one is closed, though threads ask at once', async () => {
      fault.set(['maxsessions=3'])
      const slot = await driver.call<Uint8Array[]>('C_GetSlotList', true)
      const opened = [1, 2, 3, 4, 5, 6].map(async (thread) =>
        rvOf(driver.on(thread, 'C_OpenSession', slot[0], 6)),
      )
      const rvs = await Promise.all(opened)
      expect(rvs.sort()).toEqual([0, 0, 0xb1, 0xb1, 0xb1, 0xb1])
      await driver.call('C_CloseSession', session)
      session = await driver.open(hsm.tokenLabel)
      expect(await driver.rv('C_OpenSession', slot[0], 6)).toBe(0xb1)
    })

    test('lockpin: wrong PINs in a row are counted over processes, shown by the token, and lock it', async () => {
      fault.set(['lockpin=3'])
      await driver.close()
      const attempt = async (pin: string) => {
        const process = new Pkcs11Driver(fault.path, hsm.env)
        await process.initialize()
        const own = await process.open(hsm.tokenLabel)
        const rv = await process.rv('C_Login', own, CKU_USER, pin)
        const flags: number[] = []
        for (const slot of await process.call<Uint8Array[]>('C_GetSlotList', true)) {
          flags.push((await process.call<{ flags: number }>('C_GetTokenInfo', slot)).flags & PIN_FLAGS)
        }
        await process.close()
        return [rv, flags[0], fault.loginFailures()]
      }
      expect(await attempt('11111111')).toEqual([0xa0, PIN_COUNT_LOW, 1])
      expect(await attempt('11111111')).toEqual([0xa0, PIN_COUNT_LOW | PIN_FINAL_TRY, 2])
      expect(await attempt(hsm.pin)).toEqual([0, 0, 0])
      for (let i = 0; i < 3; i++) await attempt('11111111')
      expect(await attempt(hsm.pin)).toEqual([0xa4, PIN_COUNT_LOW | PIN_LOCKED, 3])
      fault.heal()
      expect((await attempt(hsm.pin))[0]).toBe(0)
    })

    test('lunaiv: the IV is not ours, and stands behind the tag', async () => {
      fault.set(['lunaiv=1'])
      const { out, iv: after } = await encrypt()
      expect(out).toHaveLength(32 + 16 + 16)
      expect(Buffer.from(after).equals(iv)).toBe(true)
      expect(Buffer.from((await encrypt()).out).equals(out)).toBe(false)
      const opened = await decrypt(out.subarray(0, 48), out.subarray(48))
      expect(Buffer.from(opened.out).equals(data)).toBe(true)
      expect(await rvOf(decrypt(out.subarray(0, 48)))).not.toBe(0)
      for (const room of [1, 15, 48, 63]) {
        const own = await driver.open(hsm.tokenLabel)
        expect(await rvOf(driver.call('gcm', 'Encrypt', own, key, { iv, data, room })), `${room}`).toBe(0x150)
      }
      await driver.call('gcm', 'Encrypt', await driver.open(hsm.tokenLabel), key, { iv, data, room: 64 })
    })

    test('cloudhsmiv: the IV is not ours, and stands in our buffer after the encryption', async () => {
      fault.set(['cloudhsmiv=1'])
      const { out, iv: after } = await encrypt()
      expect(out).toHaveLength(48)
      expect(Buffer.from(after).equals(iv)).toBe(false)
      expect(Buffer.from((await decrypt(out, after)).out).equals(data)).toBe(true)
      expect(await rvOf(decrypt(out))).not.toBe(0)
      const short = { iv: Buffer.alloc(8), data }
      expect(await rvOf(driver.call('gcm', 'Encrypt', session, key, short))).toBe(0x71)
    })

    test('nomech: not listed, not described, not usable, and others are', async () => {
      const [slot] = await driver.call<Uint8Array[]>('C_GetSlotList', true)
      const before = await driver.call<number[]>('C_GetMechanismList', slot)
      fault.set([`nomech=0x${CKM_AES_GCM.toString(16)},${CKM_AES_KEY_WRAP},${CKM_AES_KEY_GEN},${CKM_SHA256}`])
      const gone = [CKM_AES_GCM, CKM_AES_KEY_WRAP, CKM_AES_KEY_GEN, CKM_SHA256]
      const left = before.filter((type) => !gone.includes(type))
      expect(await driver.call('C_GetMechanismList', slot)).toEqual(left)
      expect(left).toHaveLength(before.length - gone.length)
      const mechanism = { mechanism: CKM_AES_KEY_WRAP }
      for (const call of [
        driver.call('C_GetMechanismInfo', slot, CKM_AES_GCM),
        encrypt(),
        decrypt(Buffer.alloc(48)),
        driver.call('C_DigestInit', session, { mechanism: CKM_SHA256 }),
        driver.call('C_WrapKey', session, mechanism, key, key, Buffer.alloc(99)),
        driver.call('C_UnwrapKey', session, mechanism, key, Buffer.alloc(40), aesKey('x', data)),
        driver.call('C_GenerateKey', session, { mechanism: CKM_AES_KEY_GEN }, aesKey('x', data)),
      ]) {
        expect(await rvOf(call)).toBe(0x70)
      }
      expect(await driver.rv('C_SignInit', session, { mechanism: CKM_SHA256_HMAC }, key)).not.toBe(0x70)
    })
  })

  describe('the call log', () => {
    test('has one line a call, in every process, with what it answered', async () => {
      await driver.rv('C_CloseSession', Buffer.alloc(8, 0x77))
      const calls = fault.calls()
      expect(callsOf('C_Login')).toHaveLength(1)
      expect(callsOf('C_CloseSession').map(({ rv }) => rv)).toEqual([0xb3])
      expect(new Set(calls.map(({ pid }) => pid)).size).toBe(1)
      for (const { beganMs, endedMs } of calls) expect(endedMs).toBeGreaterThanOrEqual(beganMs)
      const later = new Pkcs11Driver(fault.path, hsm.env)
      await later.initialize()
      await later.close()
      expect(new Set(fault.calls().map(({ pid }) => pid)).size).toBe(2)
      expect(callsOf('C_Initialize').map(({ rv }) => rv)).toEqual([0, 0])
    })

    test('tells calls that were under way at the same time from those that were not', async () => {
      expect(overlapping(fault.calls())).toEqual([])
      fault.set(['C_EncryptInit hang'])
      const both = [encrypt(1), encrypt(2)]
      await until(() => callsOf('C_EncryptInit').length === 2)
      expect(overlapping(fault.calls()).map((pair) => pair.map(({ name }) => name))).toEqual([
        ['C_EncryptInit', 'C_EncryptInit'],
      ])
      await rvOf(driver.on(3, 'C_Finalize'))
      expect(
        overlapping(fault.calls())
          .flat()
          .filter(({ name }) => name === 'C_Finalize'),
      ).toHaveLength(2)
      fault.heal()
      await Promise.allSettled(both)
    })

    test('holds neither data nor the PIN', async () => {
      await encrypt()
      const log = readFileSync(`${fault.path}.log`, 'utf8')
      expect(log).not.toContain(hsm.pin)
      for (const line of log.trim().split('\n'))
        expect(line).toMatch(/^\d+ \d+ \d+ \d+ C_\w+ \d+ 0x[\da-f]+$/)
    })
  })
})

const nssGone = faultModuleMissing ?? nssMissing

describe.skipIf(nssGone !== undefined)(unlessMissing('the fault module over NSS', nssGone), () => {
  let nss: TokenModule
  let fault: FaultModule
  let token: Token

  beforeEach(async () => {
    nss = await makeNss()
    // pkcs11js cuts off the last character.
    const parameters = { libraryParameters: `${nss.libraryParameters ?? ''} ` }
    token = { label: nss.tokenLabel, pin: nss.pin, parameters }
    fault = makeFaultModule({ dir: dirname(nss.pinFile), module: nss.module })
  })

  afterEach(async () => nss.remove())

  test('without rules it answers exactly what NSS answers', async () => {
    const [real, ours] = await tracesOf(nss.module, fault, nss.env, token)
    expect(real.length).toBeGreaterThan(100)
    expect(ours).toEqual(real)
  })

  test('a logout kills handles that NSS itself would keep, and a Luna IV and dead sessions work', async () => {
    const driver = new Pkcs11Driver(fault.path, nss.env)
    await driver.initialize(token.parameters)
    const session = await driver.open(token.label)
    await driver.call('C_Login', session, CKU_USER, token.pin)
    const key = await driver.call<Uint8Array>('C_CreateObject', session, aesKey('kek', data))
    const encrypt = async () => driver.call<{ out: Uint8Array }>('gcm', 'Encrypt', session, key, { iv, data })
    fault.set(['lunaiv=1'])
    const { out } = await encrypt()
    expect(out).toHaveLength(64)
    const given = { iv: out.subarray(48), data: out.subarray(0, 48) }
    const opened = await driver.call<{ out: Uint8Array }>('gcm', 'Decrypt', session, key, given)
    expect(Buffer.from(opened.out).equals(data)).toBe(true)
    fault.set(['logout=1'])
    expect(await rvOf(encrypt())).toBe(0x101)
    await driver.call('C_Login', session, CKU_USER, token.pin)
    expect(await rvOf(encrypt())).toBe(0x60)
    fault.set(['generation=1'])
    expect(await rvOf(encrypt())).toBe(0xb3)
    await driver.close()
  })
})
