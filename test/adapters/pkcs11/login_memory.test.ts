/** Who may try which PIN, over all processes and restarts. No token is asked here. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  LoginMemory,
  loginMemoryOf,
  type LoginTry,
} from '../../../src/adapters/backends/pkcs11/login_memory.js'
import { LoginStore } from '../../../src/adapters/backends/pkcs11/login_store.js'
import type { LoginVerdict } from '../../../src/adapters/backends/pkcs11/shared/messages.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { hasAged } from '../../support/file_clock.js'
import { unprivileged } from '../../support/unprivileged.js'

const never = new AbortController().signal
const F1 = `${'0'.repeat(32)}:${'1'.repeat(64)}`
const F2 = `${'0'.repeat(32)}:${'2'.repeat(64)}`
const refused = (fingerprint: string): LoginVerdict => ({ type: 'pinRefused', fingerprint, text: '' })
const loggedIn: LoginVerdict = { type: 'loggedIn' }
const notTried: LoginVerdict = { type: 'notTried', text: '' }

let log: RecordingLogger

async function begun(memory: LoginMemory, pin = 'pin file'): Promise<LoginTry> {
  const login = await memory.begin(pin, never, log)
  if (login === undefined) throw new Error('nobody gave up waiting')
  return login
}

/** One login from beginning to end; tells what the HSM process was told. */
async function once(memory: LoginMemory, verdict: LoginVerdict, pin?: string) {
  const login = await begun(memory, pin)
  await login.settle(verdict)
  return login.grant
}

beforeEach(() => {
  log = new RecordingLogger()
})

describe('the memory of a program without a state folder', () => {
  let memory: LoginMemory

  beforeEach(() => {
    memory = new LoginMemory(undefined)
  })

  test('a refused PIN is told with every later leave to log in', async () => {
    await once(memory, refused(F1))
    expect((await once(memory, refused(F2), 'file 2')).refused).toEqual([F1])
    expect((await once(memory, notTried, 'file 3')).refused).toEqual([F1, F2])
  })

  test('a token that counts a failed login is left alone by a program that has seen neither', async () => {
    expect((await once(memory, notTried)).ifCountLow).toBe('unremembered')
    expect((await once(memory, notTried)).ifCountLow).toBe('unremembered')
  })

  test('it is tried when the failed login was our own, with another PIN', async () => {
    await once(memory, refused(F1))
    expect((await once(memory, notTried, 'file 2')).ifCountLow).toBe('try')
  })

  test('it is tried with the PIN file that worked before, and not with another', async () => {
    await once(memory, loggedIn)
    expect((await once(memory, notTried)).ifCountLow).toBe('try')
    expect((await once(memory, notTried, 'file 2')).ifCountLow).toBe('unremembered')
  })

  test('a login without a verdict makes the next one careful, with whatever file', async () => {
    await once(memory, refused(F1))
    await (await begun(memory)).abandon()
    expect((await once(memory, notTried)).ifCountLow).toBe('unanswered')
    expect((await once(memory, notTried, 'file 2')).ifCountLow).toBe('unanswered')
    await once(memory, loggedIn)
    expect((await once(memory, notTried)).ifCountLow).toBe('try')
  })

  test('a session that was logged in already proves no PIN', async () => {
    await once(memory, refused(F1))
    await (await begun(memory)).abandon()
    await once(memory, { type: 'loggedIn', untried: true })
    expect(await once(memory, notTried)).toMatchObject({ refused: [F1], ifCountLow: 'unanswered' })
  })

  test('what bars every PIN is held against none', async () => {
    await once(memory, { type: 'barred', text: 'locked' })
    expect((await once(memory, notTried)).refused).toEqual([])
  })

  test('a refusal without a fingerprint is a login without an answer', async () => {
    for (const fingerprint of ['', 'ab', `${F1}0`]) await once(memory, refused(fingerprint))
    expect(await once(memory, notTried)).toMatchObject({ refused: [], ifCountLow: 'unanswered' })
  })

  test('once a command has asked, every login of this program is that of a command', async () => {
    memory.spareTries()
    await once(memory, loggedIn)
    expect((await once(memory, notTried)).ifCountLow).toBe('spare')
  })

  test('one logs in at a time, in the order of asking', async () => {
    const order: number[] = []
    const first = await begun(memory)
    const others = [2, 3].map(async (number) => {
      const login = await begun(memory)
      order.push(number)
      await login.abandon()
    })
    await new Promise(setImmediate)
    expect(order).toEqual([])
    await first.abandon()
    await first.abandon()
    await Promise.all(others)
    expect(order).toEqual([2, 3])
  })

  test('all keys of one token share it, and no two tokens do', () => {
    const of = (tokenIdentity: string) => loginMemoryOf(tokenIdentity, undefined)
    expect(of('one')).toBe(of('one'))
    expect(of('one')).not.toBe(of('two'))
  })
})

describe('the memory of a program with a state folder', () => {
  let dir: string
  let path: string

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'kmsplugin-memory-'))
    ;({ path } = new LoginStore(dir, 't'))
  })

  afterEach(async () => {
    await chmod(dir, 0o700)
    await rm(dir, { recursive: true })
  })

  /** As the next process would have it. */
  const restarted = () => new LoginMemory(new LoginStore(dir, 't'))

  const onDisk = async (): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'))

  test('a refused PIN is told after a restart, from a file of mode 0600', async () => {
    await once(restarted(), refused(F1))
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await once(restarted(), notTried)).refused).toEqual([F1])
  })

  test('a login that works leaves no file', async () => {
    await once(restarted(), refused(F1))
    await once(restarted(), loggedIn)
    expect(await readdir(dir)).toEqual([])
  })

  test('a program that was killed while it logged in makes the next one careful, until there is an answer', async () => {
    await (await begun(restarted())).abandon()
    expect((await once(restarted(), notTried)).ifCountLow).toBe('unanswered')
    expect((await once(restarted(), notTried)).ifCountLow).toBe('unanswered')
    await once(restarted(), refused(F1))
    expect((await once(restarted(), notTried)).ifCountLow).toBe('try')
  })

  test('that somebody is about to log in is on the disk before, and nothing is after a login that was not tried', async () => {
    const login = await begun(restarted())
    expect(await onDisk()).toEqual({ version: 1, refused: [], unsettled: true })
    await login.settle(notTried)
    expect(await readdir(dir)).toEqual([])
    await (await begun(restarted())).settle({ type: 'noPin', text: 'holds no PIN' })
    expect(await readdir(dir)).toEqual([])
  })

  test('a PIN that worked is tried again without the disk, and one more answer missing makes the next one careful', async () => {
    const memory = restarted()
    await once(memory, loggedIn)
    const login = await begun(memory)
    expect((await readdir(dir)).filter((name) => name.endsWith('.json'))).toEqual([])
    await login.abandon()
    expect((await once(memory, notTried)).ifCountLow).toBe('unanswered')
    await once(memory, loggedIn)
    const other = await begun(memory, 'file 2')
    expect(await onDisk()).toMatchObject({ unsettled: true })
    await other.settle(notTried)
  })

  test('once it is refused, or its process is gone, the next program is careful: that is on the disk at once', async () => {
    const unanswered = { version: 1, refused: [], unsettled: true }
    const memory = restarted()
    await once(memory, loggedIn)
    const killed = await begun(memory)
    await killed.abandon()
    expect(await onDisk()).toEqual(unanswered)
    await once(memory, loggedIn)
    const login = await begun(memory)
    await login.tokenRefused()
    expect(await onDisk()).toEqual(unanswered)
    await login.settle(refused(F1))
    expect(await onDisk()).toEqual({ version: 1, refused: [F1], unsettled: false })
  })

  test('the next login waits for that, and so does a verdict that comes meanwhile', async () => {
    const memory = restarted()
    await once(memory, loggedIn)
    void (await begun(memory)).abandon()
    expect((await once(memory, notTried)).ifCountLow).toBe('unanswered')
    await once(memory, loggedIn)
    const login = await begun(memory)
    void login.tokenRefused()
    await login.settle(refused(F1))
    expect(await onDisk()).toEqual({ version: 1, refused: [F1], unsettled: false })
  })

  test('a token that counts a failed login is tried with a PIN that nobody ever refused', async () => {
    expect((await once(restarted(), notTried)).ifCountLow).toBe('try')
  })

  test('an operator who deletes the file has every PIN tried again, also by a program that runs', async () => {
    const running = restarted()
    await once(running, refused(F1))
    expect(running.file).toBe(path)
    expect(await running.isReleased(never, log)).toBe(false)
    await rm(path)
    expect(await running.isReleased(never, log)).toBe(true)
    expect((await once(running, notTried)).refused).toEqual([])
  })

  test.each([
    ['is gone', async () => rm(dir, { recursive: true })],
    [
      'was made anew',
      async () => {
        await rm(dir, { recursive: true })
        await mkdir(dir, { mode: 0o700 })
      },
    ],
    [
      'is another one, as when its volume is gone',
      async () => {
        await rename(dir, `${dir}.volume`)
        await mkdir(dir, { mode: 0o700 })
        await rm(`${dir}.volume`, { recursive: true })
      },
    ],
  ])('a folder that %s releases nothing: all is saved again, and then the file counts', async (_, change) => {
    const running = restarted()
    await once(running, refused(F1))
    await hasAged(dir)
    await change()
    expect((await once(running, notTried)).refused).toEqual([F1])
    expect(await onDisk()).toMatchObject({ refused: [F1] })
    await hasAged(dir)
    await change()
    expect(await running.isReleased(never, log)).toBe(false)
    await expect.poll(onDisk).toMatchObject({ refused: [F1] })
    await once(running, notTried)
    await rm(path)
    expect(await running.isReleased(never, log)).toBe(true)
    expect((await once(running, notTried)).refused).toEqual([])
  })

  test('a warning goes to the log of the key that met the problem, not of the one that came first', async () => {
    const memory = restarted()
    await once(memory, notTried)
    const other = new RecordingLogger()
    await writeFile(path, 'garbage')
    await (await memory.begin('pin file', never, other))?.abandon()
    expect(log.texts('warn')).toEqual([])
    expect(other.texts('warn')).toHaveLength(1)
  })

  test('two programs lose none of their refusals', async () => {
    const [one, two] = [restarted(), restarted()]
    await once(one, refused(F1))
    await once(two, refused(F2))
    expect((await once(one, notTried)).refused).toEqual([F1, F2])
  })

  test('they log in one after the other, and who gives up waiting logs in never', async () => {
    const first = await begun(restarted())
    const giveUp = new AbortController()
    const second = restarted().begin('pin file', giveUp.signal, log)
    const third = begun(restarted())
    giveUp.abort()
    expect(await second).toBeUndefined()
    await first.settle(refused(F1))
    const login = await third
    expect(login.grant.refused).toEqual([F1])
    await login.settle(notTried)
  })

  test('a damaged file makes the next login careful, forgets nothing that the program knows, and is set aside', async () => {
    const running = restarted()
    await once(running, refused(F1))
    await writeFile(path, 'garbage')
    expect(await once(running, notTried)).toMatchObject({ refused: [F1], ifCountLow: 'unanswered' })
    await writeFile(path, 'garbage')
    expect(await once(restarted(), notTried)).toMatchObject({ refused: [], ifCountLow: 'unanswered' })
    expect((await once(restarted(), notTried)).ifCountLow).toBe('unanswered')
    expect(await readFile(`${path}.unreadable`, 'utf8')).toBe('garbage')
  })

  test('a folder that cannot be written is a warning, once, and as good as none', async () => {
    await chmod(dir, 0o555)
    await unprivileged(async () => {
      const running = restarted()
      expect((await once(running, notTried)).ifCountLow).toBe('unremembered')
      await once(running, refused(F1))
      expect((await once(running, notTried, 'file 2')).refused).toEqual([F1])
      expect(running.file).toBeUndefined()
      expect(log.texts('warn')).toHaveLength(1)
      expect((await once(restarted(), notTried)).ifCountLow).toBe('unremembered')
    })
  })

  test('a refusal still counts where nobody can take the lock any more', async () => {
    await once(restarted(), refused(F1))
    await writeFile(path.replace(/json$/, 'lock'), 'nobody can take it')
    expect(await once(restarted(), notTried)).toMatchObject({ refused: [F1], ifCountLow: 'unremembered' })
    expect((await once(restarted(), notTried)).refused).toEqual([F1])
  })

  test('what could not be written is written when the folder is mended', async () => {
    const running = restarted()
    await chmod(dir, 0o777)
    await once(running, refused(F1))
    await chmod(dir, 0o700)
    await once(running, notTried)
    expect((await once(restarted(), notTried)).refused).toEqual([F1])
  })
})
