/** Several tokens of one module that hold one KEK, each with a process of its own. */
import { randomBytes } from 'node:crypto'
import { readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { WrappedDek } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { until } from '../../support/plugin.js'
import { makeSoftHsm, onSoftHsm, softHsmMissing, type SoftHsm } from '../../support/softhsm.js'
import { changeToken, type TokenStep } from '../../support/token_objects.js'
import { backend, openOn, settingsOf, soon, type Opened } from './opened.js'

const TOKENS = ['a', 'b'] as const
type TokenLabel = (typeof TOKENS)[number]

const CALL_TIMEOUT_MS = 2000

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('two tokens that hold one KEK'), () => {
  let hsm: SoftHsm
  let opened: Opened
  /** Where SoftHSM keeps each token. */
  let folders: Record<TokenLabel, string>
  const dek = randomBytes(32)
  const settings = { tokens: [{ tokenLabel: 'a', weight: 2 }, { tokenLabel: 'b' }] }
  const shared: TokenStep = {
    do: 'importAes',
    label: 'kek',
    id: '0f3a',
    value: randomBytes(32).toString('hex'),
    modifiable: true,
  }

  function change(tokenLabel: TokenLabel, ...steps: TokenStep[]): void {
    changeToken({ module: hsm.module, tokenLabel, pin: hsm.pin, env: hsm.env }, steps)
  }

  /** Of the process for this token that was started last. */
  function pidOf(label: TokenLabel): number {
    const token = `${TOKENS.indexOf(label)}:${label}`
    const started = opened.log.lines.filter(
      ({ text, fields }) => text === 'HSM process started' && fields['token'] === token,
    )
    return Number(started.at(-1)?.fields['pid'])
  }

  const isUp = (label: TokenLabel) => opened.tokens.get(`${TOKENS.indexOf(label)}:${label}`)
  const allUp = () => TOKENS.every((label) => isUp(label) === true)
  const inTime = () => soon(CALL_TIMEOUT_MS)

  /** The token is gone from the module, and its process dies. */
  function takeAway(label: TokenLabel): void {
    renameSync(folders[label], join(hsm.dir, label))
    process.kill(pidOf(label), 'SIGKILL')
  }

  function bringBack(label: TokenLabel): void {
    renameSync(join(hsm.dir, label), folders[label])
  }

  async function roundTrip(known: WrappedDek): Promise<void> {
    const wrapped = await opened.wrapper.wrap(dek, inTime())
    expect(wrapped.keyId).toBe(known.keyId)
    for (const each of [known, wrapped]) {
      expect(Buffer.from(await opened.wrapper.unwrap(each, inTime()))).toEqual(dek)
    }
  }

  beforeEach(async () => {
    hsm = await makeSoftHsm('a')
    const [a = ''] = readdirSync(hsm.tokenDir)
    hsm.addToken('b')
    const [b = ''] = readdirSync(hsm.tokenDir).filter((name) => name !== a)
    folders = { a: join(hsm.tokenDir, a), b: join(hsm.tokenDir, b) }
    change('a', shared)
    change('b', shared)
    opened = openOn(hsm, settings, { callTimeoutMs: CALL_TIMEOUT_MS })
  })

  afterEach(async () => {
    await opened.wrapper.close()
    await hsm.remove()
  })

  test('what one wraps the other one unwraps, under one key id', async () => {
    expect([isUp('a'), isUp('b')]).toEqual([false, false])
    const known = await opened.wrapper.wrap(dek, inTime())
    await until(allUp)
    for (const tokenLabel of TOKENS) {
      const alone = openOn(hsm, { tokenLabel })
      expect(Buffer.from(await alone.wrapper.unwrap(known, soon()))).toEqual(dek)
      expect(await alone.wrapper.currentKeyId(soon())).toBe(known.keyId)
      await alone.wrapper.close()
    }
  })

  test.each(TOKENS)(
    'token %s goes away and comes back: every call works, and it is taken back',
    async (label) => {
      const known = await opened.wrapper.wrap(dek, inTime())
      await until(allUp)
      takeAway(label)
      for (let i = 0; i < 5; i++) {
        await roundTrip(known)
        // As the probe does: it is how an idle one is missed.
        expect(await opened.wrapper.currentKeyId(inTime())).toBe(known.keyId)
      }
      await until(() => isUp(label) === false)
      bringBack(label)
      await until(allUp)
      await roundTrip(known)
      expect(opened.log.texts('warn')).toContain('token set aside')
      expect(opened.log.texts('info')).toContain('token is back')
    },
  )

  test('a token that hangs costs a call its share of the time, once', async () => {
    const known = await opened.wrapper.wrap(dek, inTime())
    await until(allUp)
    process.kill(pidOf('a'), 'SIGSTOP')
    await roundTrip(known)
    expect(isUp('a')).toBe(false)
    await until(allUp)
    await roundTrip(known)
  })

  test('both gone is an outage; with the first one that is back, calls work', async () => {
    const known = await opened.wrapper.wrap(dek, inTime())
    await until(allUp)
    for (const label of TOKENS) process.kill(pidOf(label), 'SIGSTOP')
    const calls = [opened.wrapper.unwrap(known, soon()), opened.wrapper.wrap(dek, soon())].map(outcomeOf)
    for (const label of TOKENS) takeAway(label)
    expect(await Promise.all(calls)).toEqual(['ERR_BACKEND_UNAVAILABLE', 'ERR_BACKEND_UNAVAILABLE'])
    bringBack('b')
    await until(async () => (await outcomeOf(opened.wrapper.unwrap(known, inTime()))) === 'OK')
    await roundTrip(known)
    expect(isUp('a')).toBe(false)
  })

  test('tokens with different KEKs are refused, by check as well, and old values still open', async () => {
    const known = await opened.wrapper.wrap(dek, inTime())
    await opened.wrapper.close()
    change('b', { do: 'relabel', label: 'kek', to: 'kek-old' }, { do: 'makeAes', label: 'kek' })
    opened = openOn(hsm, settings, { callTimeoutMs: CALL_TIMEOUT_MS })
    expect(await outcomeOf(opened.wrapper.wrap(dek, inTime()))).toBe('ERR_KEY_UNUSABLE')
    expect(Buffer.from(await opened.wrapper.unwrap(known, inTime()))).toEqual(dek)
    const errors = await findings('error')
    expect(errors.map(({ subject }) => subject)).toEqual(['keys.hsm.tokens'])
    expect(errors[0]?.text).toContain(`tokens.0 holds ${known.keyId}`)
  })

  test('one token under two names is refused by check', async () => {
    const twice = [
      { tokenLabel: 'a' },
      { uri: 'pkcs11:token=a;manufacturer=SoftHSM%20project' },
      { tokenLabel: 'b' },
    ]
    const all = await backend.check(settingsOf(hsm, { tokens: twice }), opened.deps)
    const errors = all.filter(({ level }) => level === 'error')
    expect(errors.map(({ subject }) => subject)).toEqual(['keys.hsm.tokens'])
    expect(errors[0]?.text).toContain('tokens.0 and tokens.1 are one token')
  })

  test('tokens with one KEK and different HMAC keys: check says so, and one of them alone wraps', async () => {
    const ckaId = '0f3a686d6163'
    for (const label of TOKENS) change(label, { do: 'makeSecret', label: 'kek', id: ckaId })
    const hmac = { ...settings, mechanism: 'aes-cbc-hmac' } as const
    const all = await backend.check(settingsOf(hsm, hmac), opened.deps)
    const errors = all.filter(({ level }) => level === 'error')
    expect(errors.map(({ subject }) => subject)).toEqual(['keys.hsm.tokens'])
    expect(errors[0]?.text).toContain('different HMAC keys')
    await opened.wrapper.close()
    opened = openOn(hsm, hmac, { callTimeoutMs: CALL_TIMEOUT_MS })
    await opened.wrapper.currentKeyId(inTime())
    await until(() => opened.log.lines.some(({ fields }) => /HMAC/.test(String(fields['reason']))))
    const wrapped = await opened.wrapper.wrap(dek, inTime())
    expect([isUp('a'), isUp('b')]).toEqual([true, false])
    expect(Buffer.from(await opened.wrapper.unwrap(wrapped, inTime()))).toEqual(dek)
    takeAway('a')
    expect(await outcomeOf(opened.wrapper.wrap(dek, inTime()))).toBe('ERR_BACKEND_UNAVAILABLE')
    bringBack('a')
  })

  test('bytes of any form that nobody wrapped set no token aside', async () => {
    const { keyId } = await opened.wrapper.wrap(dek, inTime())
    await until(allUp)
    const outcomes = new Set<string>()
    for (const [form, length] of [
      [1, 60],
      [2, 64],
      [3, 40],
      [4, 40],
      [5, 80],
      [6, 256],
      [7, 512],
    ] as const) {
      for (let i = 0; i < 3; i++) {
        const bytes = Buffer.concat([Buffer.of(form), randomBytes(length)])
        outcomes.add(await outcomeOf(opened.wrapper.unwrap({ keyId, bytes }, inTime())))
      }
    }
    expect(outcomes).not.toContain('OK')
    expect(outcomes).not.toContain('ERR_BACKEND_UNAVAILABLE')
    expect(opened.log.texts('warn')).toEqual([])
    expect(allUp()).toBe(true)
  })

  describe('while one is out, and on the other one the KEK has another label', () => {
    let known: WrappedDek

    beforeEach(async () => {
      known = await opened.wrapper.wrap(dek, inTime())
      await opened.wrapper.close()
      change('b', { do: 'relabel', label: 'kek', to: 'kek-old' })
    })

    test.each(['gone', 'locked out'])('(%s) what it wrapped opens', async (why) => {
      const wrongPin = join(hsm.dir, 'wrong-pin')
      writeFileSync(wrongPin, '00000000', { mode: 0o600 })
      if (why === 'gone') renameSync(folders.a, join(hsm.dir, 'a'))
      const [a, b] = settings.tokens
      const tokens = why === 'gone' ? [a!, b!] : [{ ...a!, pin: `file:${wrongPin}` }, b!]
      opened = openOn(hsm, { tokens }, { callTimeoutMs: CALL_TIMEOUT_MS, isPrimary: false })
      for (let i = 0; i < 2; i++) expect(Buffer.from(await opened.wrapper.unwrap(known, soon()))).toEqual(dek)
      if (why === 'gone') bringBack('a')
    })

    test('a KEK that is on neither is still an outage, since it may be on the one that is out', async () => {
      change('b', { do: 'destroy', label: 'kek-old' }, { do: 'makeAes', label: 'another' })
      renameSync(folders.a, join(hsm.dir, 'a'))
      opened = openOn(hsm, settings, { callTimeoutMs: CALL_TIMEOUT_MS, isPrimary: false })
      expect(await outcomeOf(opened.wrapper.unwrap(known, soon()))).toBe('ERR_BACKEND_UNAVAILABLE')
      bringBack('a')
      await until(async () => (await outcomeOf(opened.wrapper.unwrap(known, soon()))) === 'OK')
    })
  })

  test('check shows each token and says that they hold one KEK', async () => {
    const subjects = (await findings('ok')).map(({ subject }) => subject)
    expect(subjects).toContain('keys.hsm.tokens.0.key')
    expect(subjects).toContain('keys.hsm.tokens.1.key')
    expect(subjects.at(-1)).toBe('keys.hsm.tokens')
    expect(await findings('error')).toEqual([])
  })

  test('check does not call them one KEK while a token is out', async () => {
    renameSync(folders.b, join(hsm.dir, 'b'))
    const subjects = async (level: 'ok' | 'error') => (await findings(level)).map(({ subject }) => subject)
    expect(await subjects('ok')).not.toContain('keys.hsm.tokens')
    expect(await subjects('error')).toHaveLength(1)
    bringBack('b')
  })

  test('keygen makes the key on the first one, unless another one has one by that name', async () => {
    const keygen = async (keyLabel: string) =>
      backend.keygen!(settingsOf(hsm, { ...settings, keyLabel }), opened.deps)
    change('b', { do: 'makeAes', label: 'kek-2' })
    expect(await outcomeOf(keygen('kek-2'))).toBe('ERR_CONFIG_INVALID')
    expect(await keygen('kek-3')).toMatch(/on token "a" with .* copy it, with its CKA_ID, to token "b"/)
    const onlyB = openOn(hsm, { tokenLabel: 'b', keyLabel: 'kek-3' })
    expect(await outcomeOf(onlyB.wrapper.currentKeyId(soon()))).toBe('ERR_KEY_NOT_FOUND')
    await onlyB.wrapper.close()
  })

  async function findings(level: 'ok' | 'error') {
    const all = await backend.check(settingsOf(hsm, settings), opened.deps)
    return all.filter((each) => each.level === level)
  }
})
