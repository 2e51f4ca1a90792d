/** What an operator gets wrong: one clear line that says what, where and what to do, the right exit code, no secret. */
import { chmodSync, mkdirSync, statSync, symlinkSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { HsmSandbox } from '../support/hsm.js'
import { KmsClient, refusal } from '../support/kms_client.js'
import { until, type Settings } from '../support/plugin.js'
import { sandboxPerTest } from '../support/scene.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'

const scene = sandboxPerTest()

const isRoot = process.getuid?.() === 0
const USAGE = 64
const UNAVAILABLE = 69
const CONFIG_INVALID = 78

describe('a configuration with a mistake: exit 78, and the line names file, line, setting and remedy', () => {
  const good = [
    'server:',
    '  socket: /tmp/kms-none/kms.sock',
    'primary: main',
    'keys:',
    '  main:',
    '    backend: local',
    '    path: /tmp/kms-none/key.json',
  ]
  const changed = (line: number, text: string) => good.map((old, index) => (index === line - 1 ? text : old))
  const added = (...lines: string[]) => [...good, ...lines]

  test.each<[string, readonly string[], RegExp]>([
    ['an unknown section', added('sever:', '  kmsV1: true'), /:8: sever: .*"server"/],
    ['an unknown setting', changed(2, '  socet: /tmp/x'), /:2: server\.socet: .*"socket"/],
    ['a number without a unit', added('retry:', '  callTimeout: 5'), /:9: retry\.callTimeout: /],
    ['a text for a switch', changed(2, '  kmsV1: "yes"'), /:2: server\.kmsV1: /],
    ['an unquoted mode', changed(2, '  socketMode: 0600'), /:2: server\.socketMode: /],
    ['a mode for everybody', changed(2, '  socketMode: "0666"'), /:2: server\.socketMode: .*0660/],
    ['a relative socket', changed(2, '  socket: kms.sock'), /:2: server\.socket: .*absolute/],
    ['an unknown backend', changed(6, '    backend: lokal'), /:6: keys\.main\.backend: .*"local"/],
    ['an unknown primary', changed(3, 'primary: man'), /:3: primary: .*"main"/],
    ['no primary', good.filter((line) => !line.startsWith('primary')), /primary: is missing/],
    ['no keys', good.slice(0, 3), /keys: is missing/],
    ['a setting of another backend', added('    keyLabel: x'), /:8: keys\.main\.keyLabel: /],
    ['a tab', changed(2, '\tsocket: /tmp/x'), /:2: /],
    ['a key twice', added('primary: main'), /:8: /],
    ['an alias bomb', added('x: &a [1]', 'y: *a'), /:\d+: /],
    ['nothing in it', [''], /the file is empty|is missing/],
    ['binary in it', ['\u0000\u0001\u0002'], /./],
  ])('%s', async (_what, lines, expected) => {
    const file = scene.sandbox.writeFile('config.yaml', lines.join('\n'))
    const { code, stderr, stdout } = await scene.sandbox.run(['serve', '--config', file])
    expect({ code, stdout }).toEqual({ code: CONFIG_INVALID, stdout: '' })
    expect(stderr).toMatch(expected)
    for (const line of stderr.trimEnd().split('\n')) expect(line.startsWith(file)).toBe(true)
  })

  test('every mistake at once, one line each', async () => {
    const file = scene.sandbox.writeFile(
      'config.yaml',
      [...changed(2, '  socet: x'), 'retry: 5', 'logg: 1'].join('\n'),
    )
    const { code, stderr } = await scene.sandbox.run(['serve', '--config', file])
    expect(code).toBe(CONFIG_INVALID)
    expect(stderr.trimEnd().split('\n')).toHaveLength(3)
  })

  test.each([
    ['that is not there', () => undefined],
    ['that is a folder', (path: string) => mkdirSync(path)],
    ['that points to nothing', (path: string) => symlinkSync('nowhere', path)],
    [
      'that is too large',
      (path: string) => scene.sandbox.writeFile(path.slice(path.lastIndexOf('/') + 1), '#'.repeat(70_000)),
    ],
  ])('a file %s', async (_what, make) => {
    const file = scene.sandbox.path('config.yaml')
    make(file)
    const { code, stderr } = await scene.sandbox.run(['serve', '--config', file])
    expect(code).toBe(CONFIG_INVALID)
    expect(stderr).toContain(file)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  })

  test.each(['pin: "1234"', 'pin: 1234', 'pin: env:PIN'])(
    'a PIN in the file (%s), which is not repeated',
    async (pin) => {
      const lines = [
        'primary: hsm',
        'keys:',
        '  hsm:',
        '    backend: pkcs11',
        '    module: /m.so',
        '    tokenLabel: t',
      ]
      const file = scene.sandbox.writeFile(
        'config.yaml',
        [...lines, '    keyLabel: k', `    ${pin}`].join('\n'),
      )
      for (const words of [['serve'], ['config', 'validate'], ['config', 'print'], ['check']]) {
        const { code, stderr, stdout } = await scene.sandbox.run([...words, '--config', file])
        expect(code).toBe(CONFIG_INVALID)
        expect(stderr).toMatch(/keys\.hsm\.pin: .*file:/)
        expect(stderr + stdout).not.toContain('1234')
      }
    },
  )
})

describe('a command line with a mistake: exit 64 and a hint', () => {
  test.each([
    [['srve'], '"serve"'],
    [['serve', '--confg', 'x'], '"--config"'],
    [['serve', '--config', ''], '--config is empty'],
    [['serve', 'now'], '"now"'],
    [['keygen'], '--key'],
    [[], 'command'],
  ])('%j', async (words, hint) => {
    const { code, stderr } = await scene.sandbox.run(words)
    expect(code).toBe(USAGE)
    expect(stderr).toContain(hint)
  })
})

describe('a local key file with a mistake', () => {
  test.each<[string, () => Promise<void>, string]>([
    ['that is not there', async () => Promise.resolve(), 'keygen'],
    ['that others may read', async () => looseKeyFile(), 'chmod 600'],
    [
      'that is no key file',
      async () => {
        scene.sandbox.writeFile('key.json', '{"key":"U0VDUkVU"}')
        return Promise.resolve()
      },
      'layout',
    ],
  ])('%s: check finds it and says what to do; keygen makes none over it', async (_what, make, remedy) => {
    await make()
    const config = scene.sandbox.writeConfig(scene.sandbox.localConfig())
    const { code, stdout, stderr } = await scene.sandbox.run(['check', '--config', config])
    expect(code).toBe(1)
    expect(stdout).toMatch(/ERROR +keys\.main/)
    expect(stdout).toContain(scene.sandbox.keyFile)
    expect(stdout).toContain(remedy)
    expect(stdout + stderr).not.toContain('U0VDUkVU')

    if (statSync(scene.sandbox.keyFile, { throwIfNoEntry: false }) === undefined) return
    const keygen = await scene.sandbox.run(['keygen', '--config', config, '--key', 'main'])
    expect(keygen.code).toBe(CONFIG_INVALID)
    expect(keygen.stderr).toContain('never overwritten')
  })

  test('keygen for a key that there is not names those that there are', async () => {
    const config = scene.sandbox.writeConfig(scene.sandbox.localConfig())
    const { code, stderr } = await scene.sandbox.run(['keygen', '--config', config, '--key', 'man'])
    expect(code).toBe(CONFIG_INVALID)
    expect(stderr).toContain('main')
  })

  async function looseKeyFile(): Promise<void> {
    await scene.sandbox.makeKeyFile()
    chmodSync(scene.sandbox.keyFile, 0o644)
  }
})

describe('a socket folder with a mistake', () => {
  // Root may write anywhere: for root there is nothing to refuse.
  if (!isRoot) {
    test('that we may not write to: exit 78', async () => {
      await scene.sandbox.makeKeyFile()
      const folder = scene.sandbox.makeFolder('run', 0o500)
      const config = scene.sandbox.writeConfig(scene.sandbox.localConfig())
      const { code, stderr } = await scene.sandbox.run(['serve', '--config', config])
      expect(code).toBe(CONFIG_INVALID)
      expect(stderr).toContain(`chmod u+wx ${folder}`)
    })
  }

  test('that others may write to: check finds it', async () => {
    await scene.sandbox.makeKeyFile()
    const folder = scene.sandbox.makeFolder('run', 0o777)
    const config = scene.sandbox.writeConfig(scene.sandbox.localConfig())
    const { code, stdout } = await scene.sandbox.run(['check', '--config', config])
    expect(code).toBe(1)
    expect(stdout).toMatch(/ERROR +server\.socket/)
    expect(stdout).toContain(`chmod go-w ${folder}`)
  })

  test('without a plugin: status says so, exit 69', async () => {
    const socket = scene.sandbox.path('none.sock')
    const { code, stderr } = await scene.sandbox.run(['status', '--socket', socket])
    expect(code).toBe(UNAVAILABLE)
    expect(stderr).toContain(socket)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  })
})

describe.skipIf(softHsmMissing !== undefined)(onSoftHsm('an HSM with a mistake'), () => {
  let sandbox: HsmSandbox

  beforeAll(async () => {
    sandbox = await HsmSandbox.make()
  })
  afterAll(async () => sandbox.close())
  // The token remembers a failed login until one succeeds, and commands are careful then.
  afterEach(() => void sandbox.hsm.change({ do: 'login' }))

  const wrongPin = '13571357'
  let files = 0
  const pinFile = (content: string, mode = 0o600) => ({
    pin: `file:${sandbox.writeFile(`pin-${files++}`, content, mode)}`,
  })

  interface Row {
    readonly what: string
    /** Settings of the key, after whatever was done to the token. */
    readonly make: () => Settings
    /** In the one line of `check` and of the log. */
    readonly line: RegExp
    /** Of Status, once it is known whose move it is. */
    readonly status: string
  }

  const rows: readonly Row[] = [
    {
      what: 'no PIN file',
      make: () => ({ pin: 'file:/nowhere/pin' }),
      line: /PIN file \/nowhere\/pin does not exist/,
      status: 'FAILED_PRECONDITION: plugin configuration invalid',
    },
    {
      what: 'a PIN file that others may read',
      make: () => pinFile('x', 0o644),
      line: /pin-\d has mode 0644.*chmod 600/,
      status: 'FAILED_PRECONDITION: plugin configuration invalid',
    },
    {
      what: 'an empty PIN file',
      make: () => pinFile(''),
      line: /pin-\d is empty/,
      status: 'FAILED_PRECONDITION: plugin configuration invalid',
    },
    {
      what: 'a wrong PIN',
      make: () => pinFile(wrongPin),
      // `check` has tried it; the plugin knows only that the token counts a failed login.
      line: /token "k8s" refused the .*not tried again.*pin-\d|login to token "k8s" failed.*log in to it once by hand/,
      status: 'PERMISSION_DENIED: backend refused the login',
    },
    {
      what: 'an unknown token',
      make: () => ({ tokenLabel: 'k9s' }),
      line: /no token matches "k9s".*"k8s"/,
      status: 'UNAVAILABLE: plugin is starting: primary key not proved yet',
    },
    {
      what: 'an unknown key',
      make: () => ({ keyLabel: 'kek-2' }),
      line: /no AES or RSA private key "kek-2" on token "k8s"/,
      status: 'FAILED_PRECONDITION: KEK not found',
    },
    {
      what: 'a KEK that may not decrypt',
      make: () => aes('no-decrypt', { decrypt: false }),
      line: /"no-decrypt" on token "k8s".*CKA_DECRYPT/,
      status: 'FAILED_PRECONDITION: KEK unusable',
    },
    {
      what: 'a KEK that may not encrypt',
      make: () => aes('no-encrypt', { encrypt: false }),
      line: /"no-encrypt" on token "k8s".*CKA_ENCRYPT/,
      status: 'FAILED_PRECONDITION: KEK unusable',
    },
    {
      what: 'a KEK of 128 bits',
      make: () => aes('short', { bytes: 16 }),
      line: /"short" on token "k8s".*16, not 32/,
      status: 'FAILED_PRECONDITION: KEK unusable',
    },
    {
      what: 'two KEKs of one name',
      make: () => {
        aes('twin')
        return aes('twin')
      },
      line: /2 keys are "twin" on token "k8s"/,
      status: 'FAILED_PRECONDITION: KEK unusable',
    },
    {
      what: 'no module',
      make: () => ({ module: '/usr/lib/none.so' }),
      line: /module \/usr\/lib\/none\.so does not exist/,
      status: 'FAILED_PRECONDITION: plugin configuration invalid',
    },
    {
      what: 'a module that is no library',
      make: () => ({ module: sandbox.writeFile('text.so', 'no library', 0o755) }),
      line: /text\.so is no PKCS#11 module/,
      status: 'FAILED_PRECONDITION: plugin configuration invalid',
    },
    {
      what: 'a module that others may write to',
      make: () => ({ module: sandbox.writeFile('loose.so', 'no library', 0o777) }),
      line: /loose\.so has mode 0777.*chmod go-w/,
      status: 'FAILED_PRECONDITION: plugin configuration invalid',
    },
  ]

  function aes(
    label: string,
    flags: { bytes?: number; encrypt?: boolean; decrypt?: boolean } = {},
  ): Settings {
    sandbox.hsm.change({ do: 'makeAes', label, ...flags })
    return { keyLabel: label }
  }

  test.each(rows)(
    '$what: check says so, the plugin listens all the same, nothing is lost',
    async ({ make, line, status }) => {
      const config = sandbox.hsmConfig({ keys: { hsm: sandbox.key(make()) } })
      const check = await sandbox.run(['check', '--config', sandbox.writeConfig(config)], {
        env: sandbox.hsm.env,
      })
      expect(check.code).toBe(1)
      expect(check.stdout.split('\n').filter((text) => text.startsWith('ERROR'))).toHaveLength(1)
      expect(check.stdout).toMatch(line)

      const plugin = sandbox.begin(config, { env: sandbox.hsm.env })
      const client = new KmsClient(sandbox.socket)
      try {
        expect((await plugin.says('a key fails its probe'))['reason']).toMatch(line)
        await until(async () => (await refusal(client.v2Status())) === status)
        expect(await refusal(client.v2Encrypt(Buffer.alloc(32)))).not.toMatch(/^(INTERNAL|UNKNOWN)/)
        expect(await plugin.stop()).toEqual({ code: 0, signal: null })
      } finally {
        client.close()
        // The next one listens at the same place.
        if (plugin.isRunning) await plugin.kill()
      }
      for (const text of [check.stdout, check.stderr, plugin.stderr()])
        for (const pin of [sandbox.hsm.pin, wrongPin]) expect(text).not.toContain(pin)
    },
  )

  test('a wrong PIN is mended by a right one in the same file, without a restart', async () => {
    const wrong = pinFile(wrongPin)
    const plugin = sandbox.begin(sandbox.hsmConfig({ keys: { hsm: sandbox.key(wrong) } }), {
      env: sandbox.hsm.env,
    })
    await plugin.says('a key fails its probe')
    sandbox.writeFile(wrong.pin.slice(wrong.pin.lastIndexOf('/') + 1), sandbox.hsm.pin)
    await plugin.says('primary key proved')
    expect(await plugin.stop()).toEqual({ code: 0, signal: null })
  })

  test('keygen where a key of that name exists makes none', async () => {
    const { code, stderr } = await sandbox.onToken('keygen', '--key', 'hsm')
    expect(code).toBe(CONFIG_INVALID)
    expect(stderr).toContain('kek-1')
    expect((await sandbox.onToken('check')).code).toBe(0)
  })
})
