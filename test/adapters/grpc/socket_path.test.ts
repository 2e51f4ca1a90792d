import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { checkSocket } from '../../../src/adapters/grpc/socket_check.js'
import {
  folderProblem,
  prepareFolder,
  probeSocket,
  publishSocket,
} from '../../../src/adapters/grpc/socket_path.js'
import { giveAway, unprivileged } from '../../support/unprivileged.js'

const uid = process.getuid?.() ?? -1
const gid = process.getgid?.() ?? -1
const isRoot = uid === 0
const NOBODY = 65_534

let root: string
let folder: string
let path: string
let umask: number
const servers: Server[] = []

beforeEach(() => {
  // As main.ts sets it.
  umask = process.umask(0o077)
  root = mkdtempSync(join(tmpdir(), 'kms-path-'))
  folder = join(root, 'run')
  path = join(folder, 'kms.sock')
})
afterEach(() => {
  process.umask(umask)
  for (const server of servers.splice(0)) server.close()
  rmSync(root, { recursive: true, force: true })
})

function makeServer(): Server {
  const server = createServer((socket) => socket.on('error', () => undefined).end('hello'))
  servers.push(server)
  return server
}

function modeOf(file: string): string {
  return (lstatSync(file).mode & 0o7777).toString(8)
}

/** A socket file that nobody listens on, as kill -9 leaves it. */
async function makeDeadSocket(file: string): Promise<void> {
  const bound = createServer().listen(`${file}.bound`)
  await once(bound, 'listening')
  renameSync(`${file}.bound`, file)
  bound.close()
  await once(bound, 'close')
}

async function greeting(): Promise<string> {
  const client = connect(path)
  const [bytes] = (await once(client, 'data')) as [Buffer]
  client.destroy()
  return bytes.toString()
}

describe('the folder', () => {
  test('is made with mode 0700 when it is missing', async () => {
    await prepareFolder(path, uid, undefined)
    expect(modeOf(folder)).toBe('700')
  })

  test('is made so that a group can reach the socket, whatever the umask', async () => {
    await prepareFolder(path, uid, gid)
    expect(modeOf(folder)).toBe('750')
    expect(lstatSync(folder).gid).toBe(gid)
  })

  test('keeps its mode when it stands there already', async () => {
    mkdirSync(folder)
    chmodSync(folder, 0o711)
    await prepareFolder(path, uid, gid)
    expect(modeOf(folder)).toBe('711')
  })

  test.each([0o720, 0o702, 0o777, 0o1777])('that others may write to is refused (%o)', async (mode) => {
    mkdirSync(folder)
    chmodSync(folder, mode)
    await expect(prepareFolder(path, uid, undefined)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    expect(await folderProblem(path, uid)).toContain('chmod go-w')
  })

  test('that belongs to another user is refused', async () => {
    mkdirSync(folder)
    const problem = await folderProblem(path, uid + 1)
    expect(problem).toContain(`belongs to uid ${uid}`)
    // A socket straight in /run: to give that folder away would harm the node.
    expect(problem).toContain(`run the plugin as uid ${uid}, or chown ${uid + 1}`)
  })

  test('that is a symlink is followed where nobody else can change it, as /var/run is', async () => {
    mkdirSync(join(root, 'real'), { mode: 0o700 })
    symlinkSync('real', folder)
    expect(await folderProblem(path, uid)).toBeUndefined()
    await prepareFolder(path, uid, undefined)
    expect(await folderProblem('/var/run/kms.sock', 0)).toBeUndefined()
  })

  test('that is a symlink in a folder that others write to, or leads to what is not ours, is refused', async () => {
    mkdirSync(join(root, 'real'), { mode: 0o700 })
    symlinkSync('real', folder)
    chmodSync(join(root, 'real'), 0o770)
    expect(await folderProblem(path, uid)).toContain('others may write')
    chmodSync(join(root, 'real'), 0o700)
    chmodSync(root, 0o777)
    expect(await folderProblem(path, uid)).toContain('symlink')
    chmodSync(root, 0o700)
    rmSync(folder)
    symlinkSync('nowhere', folder)
    expect(await folderProblem(path, uid)).toContain('does not exist')
  })

  test('that is a file is refused', async () => {
    writeFileSync(folder, '')
    expect(await folderProblem(path, uid)).toContain('no directory')
  })

  test('whose parent is missing is an error that says what to do', async () => {
    const error = prepareFolder(join(root, 'a', 'b', 'kms.sock'), uid, undefined)
    await expect(error).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    await expect(error).rejects.toThrow('make it')
  })

  test('leaves room for the private name of the socket, or the path is refused as too long', async () => {
    const longest = join(root, 'x'.repeat(107 - root.length - 1 - '/.123456/s'.length), 's')
    await prepareFolder(longest, uid, undefined)
    await publishSocket(makeServer(), longest, { mode: 0o600, gid: undefined })
    expect(lstatSync(longest).isSocket()).toBe(true)

    const longer = join(root, 'x'.repeat(107 - root.length - '/.123456/s'.length), 's')
    await expect(prepareFolder(longer, uid, undefined)).rejects.toThrow('too long')
  })

  test('is not made when the path is too long', async () => {
    const long = join(root, 'x'.repeat(107), 's')
    await expect(prepareFolder(long, uid, undefined)).rejects.toThrow('too long')
    expect(readdirSync(root)).toEqual([])
  })
})

describe('what stands at the path', () => {
  beforeEach(() => mkdirSync(folder))

  test('nothing is absent', async () => {
    expect(await probeSocket(path, uid)).toBe('absent')
  })

  test('a socket that refuses connections is dead', async () => {
    await makeDeadSocket(path)
    expect(await probeSocket(path, uid)).toBe('dead')
    expect(existsSync(path)).toBe(true)
  })

  test('a socket that answers is living', async () => {
    await publishSocket(makeServer(), path, { mode: 0o600, gid: undefined })
    expect(await probeSocket(path, uid)).toBe('living')
  })

  test.each([
    ['a regular file', () => writeFileSync(path, 'precious')],
    ['a directory', () => mkdirSync(path)],
    ['a symlink to nothing', () => symlinkSync('nowhere', path)],
  ])('%s is refused and not touched', async (_what, make) => {
    make()
    const before = lstatSync(path)
    await expect(probeSocket(path, uid)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    expect(lstatSync(path).ino).toBe(before.ino)
  })

  test('a symlink to a socket is refused too', async () => {
    await makeDeadSocket(join(root, 'real.sock'))
    symlinkSync('../real.sock', path)
    await expect(probeSocket(path, uid)).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
  })

  test("another user's socket is refused and not touched", async () => {
    await makeDeadSocket(path)
    const refused = probeSocket(path, uid + 1)
    await expect(refused).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    await expect(refused).rejects.toThrow('remove it when its plugin has ended')
    expect(existsSync(path)).toBe(true)
  })
})

describe('a published socket', () => {
  beforeEach(() => mkdirSync(folder))

  test('has exactly the mode that was asked for and leaves nothing else in the folder', async () => {
    await publishSocket(makeServer(), path, { mode: 0o600, gid: undefined })
    expect(modeOf(path)).toBe('600')
    expect(readdirSync(folder)).toEqual(['kms.sock'])
    expect(await greeting()).toBe('hello')
  })

  test.runIf(isRoot)('belongs to the group that was asked for', async () => {
    await publishSocket(makeServer(), path, { mode: 0o660, gid: NOBODY })
    expect(modeOf(path)).toBe('660')
    expect(lstatSync(path)).toMatchObject({ uid, gid: NOBODY })
  })

  test('is not published when the group is not ours to give', async () => {
    giveAway(root)
    giveAway(folder)
    const published = unprivileged(async () => publishSocket(makeServer(), path, { mode: 0o660, gid: 4242 }))
    await expect(published).rejects.toMatchObject({ code: 'ERR_CONFIG_INVALID' })
    expect(readdirSync(folder)).toEqual([])
  })

  test('replaces a dead one at once: the name never goes away', async () => {
    await makeDeadSocket(path)
    await publishSocket(makeServer(), path, { mode: 0o600, gid: undefined })
    expect(await greeting()).toBe('hello')
  })

  test('is removed by its owner', async () => {
    const published = await publishSocket(makeServer(), path, { mode: 0o600, gid: undefined })
    await published.remove()
    expect(existsSync(path)).toBe(false)
    await expect(published.remove()).resolves.toBeUndefined()
  })

  test('is not removed by the owner of an earlier one, nor by the end of its server', async () => {
    const earlier = makeServer()
    const first = await publishSocket(earlier, path, { mode: 0o600, gid: undefined })
    await publishSocket(makeServer(), path, { mode: 0o600, gid: undefined })
    await first.remove()
    earlier.close()
    await once(earlier, 'close')
    expect(await greeting()).toBe('hello')
  })

  test('is not published over a directory', async () => {
    mkdirSync(path)
    writeFileSync(join(path, 'file'), 'precious')
    await expect(publishSocket(makeServer(), path, { mode: 0o600, gid: undefined })).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
    })
    expect(readFileSync(join(path, 'file'), 'utf8')).toBe('precious')
    expect(readdirSync(folder)).toEqual(['kms.sock'])
  })
})

describe('what check says', () => {
  const levels = async (group?: number) => (await checkSocket(path, uid, group)).map(({ level }) => level)

  test('a missing folder in a folder that we may write to will be made', async () => {
    expect(await levels()).toEqual(['ok'])
    expect(existsSync(folder)).toBe(false)
  })

  test('a missing folder in a missing folder is an error', async () => {
    const findings = await checkSocket(join(root, 'a', 'b', 'kms.sock'), uid, undefined)
    expect(findings).toMatchObject([{ level: 'error', subject: 'server.socket' }])
  })

  test('a folder that others may write to, and a file in place of the socket, are errors', async () => {
    mkdirSync(folder)
    chmodSync(folder, 0o777)
    expect(await levels()).toEqual(['error'])
    chmodSync(folder, 0o700)
    writeFileSync(path, '')
    expect(await levels()).toEqual(['error'])
  })

  test('a path that is too long is an error before its folder exists', async () => {
    const findings = await checkSocket(join(root, 'x'.repeat(107), 's'), uid, undefined)
    expect(findings.map(({ level }) => level)).toEqual(['error'])
  })

  test('a free path, a dead socket and a living one are fine', async () => {
    mkdirSync(folder)
    expect(await levels()).toEqual(['ok'])
    await makeDeadSocket(path)
    expect(await levels()).toEqual(['ok'])
    await publishSocket(makeServer(), path, { mode: 0o600, gid: undefined })
    expect(await levels()).toEqual(['ok'])
    expect(await greeting()).toBe('hello')
  })

  test('a folder that the group cannot enter is a warning', async () => {
    mkdirSync(folder, { mode: 0o700 })
    expect(await levels(gid)).toEqual(['warning', 'ok'])
    chmodSync(folder, 0o750)
    expect(await levels(gid)).toEqual(['ok'])
  })

  test.runIf(isRoot)('a folder of another group is a warning', async () => {
    mkdirSync(folder, { mode: 0o750 })
    chownSync(folder, uid, NOBODY)
    chmodSync(folder, 0o750)
    expect(await levels(gid)).toEqual(['warning', 'ok'])
    chmodSync(folder, 0o711)
    expect(await levels(gid)).toEqual(['ok'])
  })
})
