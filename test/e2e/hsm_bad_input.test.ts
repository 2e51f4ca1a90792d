/**
 * What an operator gets wrong between the config file and the KEK on a token: `check` and the log say it in one line,
 * the plugin stays up meanwhile, and serves once it is mended.
 */
import { chmodSync, copyFileSync, mkdirSync, symlinkSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KmsErrorCode } from '../../src/ports/errors.js'
import { faultModuleMissing, makeFaultModule } from '../support/fault_module.js'
import { HsmSandbox } from '../support/hsm.js'
import { isHealthy } from '../support/kms_client.js'
import { makeNssDatabase, nssMissing } from '../support/modules/nss.js'
import { findLibrary } from '../support/modules/token_module.js'
import { freePort, until, type Settings } from '../support/plugin.js'
import { sandboxPerTest } from '../support/scene.js'
import { onSoftHsm, softHsmMissing } from '../support/softhsm.js'
import { changeToken } from '../support/token_objects.js'
import { initPin, initToken, slotsOf, type SeenSlot } from '../support/token_setup.js'

const CONFIG_INVALID = 78
/** For a machine that does much else. */
const BOUND_MS = 30_000

/** Flags of CK_TOKEN_INFO (PKCS#11 v2.40, table 6). */
const CKF_USER_PIN_FINAL_TRY = '0x20000'
const CKF_USER_PIN_LOCKED = '0x40000'
const CKF_SO_PIN_LOCKED = '0x400000'
const CKM_AES_KEY_WRAP = '0x2109,0x210a,0x210b'

/** A stack trace has such lines, in the log as text of a JSON line. */
const STACK = /(?:^|\\n|\n) {2,}at /

/** Each costs a second or two; to the plugin the others are the same as one of these. */
const served: readonly string[] = [
  'no such slot',
  'a token that is not initialised',
  'a token whose user PIN is not set',
  'a locked user PIN',
  'two tokens with one label',
  'a module that is not there',
  'a module that is a text',
  'a module for another machine',
  'a library that is no PKCS#11 module',
  'libraryParameters that the module does not take',
  'a public key alone',
  'three keys of one name',
  'a weak key',
  'a mechanism that the token lacks',
  'a PIN file with a NUL',
  'a PIN file that is a symlink',
]

const missing = softHsmMissing ?? faultModuleMissing

describe.skipIf(missing !== undefined)(onSoftHsm('a mistake between config file and KEK'), () => {
  let sandbox: HsmSandbox
  let slots: readonly SeenSlot[]
  let check: { readonly code: number | null; readonly stdout: string; readonly stderr: string }

  interface Row {
    readonly what: string
    /** Settings of the key; whatever is wrong with them or with what they name was made before. */
    readonly make: () => Settings
    /** In the one line of `check` and of the log. */
    readonly line: RegExp
    readonly code: KmsErrorCode
    /** What `check` calls it for a key that is not primary. */
    readonly level?: 'warning'
    /** What the operator does then, with the plugin running. */
    readonly mend?: () => void
  }

  const rows: readonly Row[] = [
    {
      what: 'no such slot',
      make: () => ({ tokenLabel: undefined, slot: 99 }),
      line: /no token matches slot 99; the module shows .*"k8s" \(slot \d+, serial [0-9a-f]+\).*check the setting/,
      code: 'ERR_BACKEND_UNAVAILABLE',
    },
    {
      what: 'a token that is not initialised',
      make: () => ({ tokenLabel: undefined, slot: slots.find(({ isFree }) => isFree)?.slot }),
      line: /token slot \d+ is not initialised; initialise it with its vendor's tool/,
      code: 'ERR_CONFIG_INVALID',
    },
    {
      what: 'a token whose user PIN is not set',
      make: () => ({ tokenLabel: 'pinless' }),
      line: /user PIN of token "pinless" is not set; set it as its security officer/,
      code: 'ERR_LOGIN_REFUSED',
      mend: () => {
        initPin(sandbox.hsm, 'pinless')
        changeToken({ ...sandbox.hsm, tokenLabel: 'pinless' }, [{ do: 'makeAes', label: 'kek-1' }])
      },
    },
    faulty('a locked user PIN', `tokenflags=${CKF_USER_PIN_LOCKED}`, {
      line: /user PIN of token "k8s" is locked; unlock it as its security officer/,
      code: 'ERR_LOGIN_REFUSED',
    }),
    faulty('a user PIN before its last try', `tokenflags=${CKF_USER_PIN_FINAL_TRY}`, {
      line: /the next wrong PIN locks token "k8s"; log in to it once by hand/,
      code: 'ERR_LOGIN_REFUSED',
    }),
    {
      what: 'two tokens with one label',
      make: () => ({ tokenLabel: 'twin' }),
      line: /2 tokens match "twin": "twin" \(slot \d+, serial [0-9a-f]+\), "twin" \(slot \d+, serial [0-9a-f]+\); add tokenSerial or slot/,
      code: 'ERR_CONFIG_INVALID',
    },
    moduleRow('a module that is not there', () => undefined, /module-\d+\.so does not exist; install/),
    moduleRow('a module that is a folder', (path) => mkdirSync(path), /module-\d+\.so is no regular file/),
    moduleRow(
      'a module that is a text',
      (path) => write(path, '#! /bin/sh\nexit 0\n'),
      /is no ELF library; name/,
    ),
    moduleRow('an empty module', (path) => write(path, ''), /is no ELF library; name/),
    moduleRow(
      'a module for another machine',
      (path) => write(path, elfHeader(process.arch === 'arm64' ? 62 : 183, 2)),
      /is built for (?:aarch64|x86-64); install the one for /,
    ),
    moduleRow(
      'a module for a machine of 32 bits',
      (path) => write(path, elfHeader(40, 1)),
      /is built for 32-bit ARM; install the one for /,
    ),
    {
      what: 'a library that is no PKCS#11 module',
      make: () => ({ module: findLibrary('libm.so.6') }),
      line: /libm\.so\.6 is no PKCS#11 module: it has no C_GetFunctionList; name the vendor's/,
      code: 'ERR_CONFIG_INVALID',
    },
    {
      what: 'libraryParameters that the module does not take',
      make: () => ({ libraryParameters: "configdir='sql:/nowhere'" }),
      line: /cannot be initialised \(C_Initialize: CKR_ARGUMENTS_BAD \(0x7\)\); check libraryParameters/,
      code: 'ERR_CONFIG_INVALID',
    },
    keyRow('an HMAC key', 'hmac', /"hmac" on token "k8s" is a generic secret key, neither an AES/),
    keyRow('a triple DES key', 'des3', /"des3" on token "k8s" is a triple DES secret key, neither/),
    keyRow('an EC key', 'ec', /"ec" on token "k8s" is an EC (?:public|private) key, neither/),
    keyRow('a public key alone', 'public', /"public" on token "k8s" is an RSA public key, neither/),
    keyRow('a certificate', 'certificate', /"certificate" on token "k8s" is a certificate, neither/),
    keyRow('an RSA key of 1024 bits', 'rsa-1024', /is an RSA key of 1024 bits; a KEK has 2048, 3072, 4096/),
    keyRow('an AES key of 128 bits', 'aes-128', /is an AES key of 128 bits .*make one of 256 bits/),
    keyRow('a key without CKA_ID', 'no-id', /"no-id" on token "k8s" has no CKA_ID; make a key/),
    keyRow(
      'three keys of one name',
      'three',
      /3 keys are "three" on token "k8s": AES "three" with CKA_ID a[12]; AES "three" with CKA_ID a[12]; RSA "three" with CKA_ID a3; name one by ckaId/,
    ),
    {
      ...keyRow(
        'a weak key',
        'weak',
        /it has CKA_SENSITIVE false, CKA_EXTRACTABLE true, CKA_WRAP true, CKA_SIGN true; make a key with `kmsplugin keygen`, or name each in allowWeakKey/,
      ),
      level: 'warning',
    },
    {
      ...keyRow('a weak key of which too little is allowed', 'weak', /: it has CKA_SIGN true; make a key/),
      make: () => ({ keyLabel: 'weak', allowWeakKey: ['CKA_SENSITIVE', 'CKA_EXTRACTABLE', 'CKA_WRAP'] }),
      level: 'warning',
    },
    {
      ...faulty('a mechanism that the token lacks', `nomech=${CKM_AES_KEY_WRAP}`, {
        line: /cannot wrap a DEK: aes-kwp by C_Encrypt: .*CKR_MECHANISM_INVALID.*aes-kwp by C_WrapKey: .*mechanism: auto takes/,
        code: 'ERR_KEY_UNUSABLE',
        settings: { mechanism: 'aes-kwp' },
      }),
      level: 'warning',
    },
    {
      what: 'a uri whose id is not escaped',
      make: () => ({ tokenLabel: undefined, keyLabel: undefined, uri: 'pkcs11:token=k8s;id=0f3a' }),
      line: /no AES or RSA private key with CKA_ID 30663361 on token "k8s".*id=%0f%3a/,
      code: 'ERR_KEY_NOT_FOUND',
    },
    pinRow('no PIN file', undefined, /does not exist; write the PIN into it, mode 0600/),
    pinRow('an empty PIN file', '', /is empty; write the PIN into it/),
    pinRow('a PIN file with an empty line', '\n', /holds no PIN; write it/),
    pinRow(
      'a PIN file of two lines',
      `${PIN}\n${PIN}\n`,
      /holds a second line, a NUL or another control character/,
    ),
    pinRow('a PIN file with a NUL', `${PIN}\0`, /holds a second line, a NUL or another control character/),
    pinRow('a PIN file that is no UTF-8', Buffer.from(`${PIN}\xff`, 'latin1'), /is no UTF-8 text; write/),
    pinRow('a PIN file with a byte order mark', `\uFEFF${PIN}`, /begins with a byte order mark; save/),
    pinRow('a PIN file of 5 KB', PIN.repeat(640), /is longer than 4096 bytes; it holds the PIN alone/),
    pinRow('a PIN file that others may read', PIN, /has mode 0644.*run chmod 600/, 0o644),
    {
      what: 'a PIN file that is a symlink',
      make: () => {
        symlinkSync(sandbox.hsm.pinFile, sandbox.path('pin-link'))
        return { pin: `file:${sandbox.path('pin-link')}` }
      },
      line: /pin-link is a symlink; name the file itself/,
      code: 'ERR_CONFIG_INVALID',
    },
  ]

  /** Works, and `check` says nothing but this about it. */
  const fine: readonly {
    readonly what: string
    readonly make: () => Settings
    readonly warning?: RegExp
  }[] = [
    {
      what: 'a PIN file as Windows writes it',
      make: () => ({ pin: `file:${sandbox.writeFile('pin-crlf', `${PIN}\r\n`)}` }),
    },
    {
      what: 'a module that nobody may write to, in such a folder',
      make: () => {
        const folder = sandbox.makeFolder('read-only')
        copyFileSync(sandbox.hsm.module, `${folder}/module.so`)
        chmodSync(`${folder}/module.so`, 0o444)
        chmodSync(folder, 0o555)
        return { module: `${folder}/module.so` }
      },
    },
    {
      what: 'a token whose security officer is locked out',
      make: () => ({ module: faultModule(`tokenflags=${CKF_SO_PIN_LOCKED}`).path }),
      warning: /security officer is locked: nobody can unlock the user PIN/,
    },
    { what: 'one of the twins by its serial', make: () => twin({ tokenSerial: first()?.serial }) },
    {
      what: 'one of the twins by its slot',
      make: () => twin({ tokenLabel: undefined, slot: first()?.slot }),
    },
    {
      what: 'one of the twins by a uri',
      make: () =>
        twin({
          tokenLabel: undefined,
          keyLabel: undefined,
          uri: `pkcs11:serial=${first()?.serial};object=twin-key`,
        }),
    },
  ]

  beforeAll(async () => {
    sandbox = await HsmSandbox.make()
    expect(sandbox.hsm.pin).toBe(PIN)
    const { hsm } = sandbox
    hsm.addToken('twin')
    hsm.addToken('twin')
    initToken(hsm, 'pinless')
    slots = slotsOf(hsm)
    changeToken({ ...hsm, tokenLabel: 'twin' }, [{ do: 'makeAes', label: 'twin-key' }])
    hsm.change(
      { do: 'makeSecret', label: 'hmac' },
      { do: 'makeOther', kind: 'des3', label: 'des3' },
      { do: 'makeOther', kind: 'ec', label: 'ec' },
      { do: 'makeOther', kind: 'rsa-public', label: 'public' },
      { do: 'makeOther', kind: 'certificate', label: 'certificate' },
      { do: 'makeRsa', bits: 1024, label: 'rsa-1024' },
      { do: 'makeAes', bytes: 16, label: 'aes-128' },
      { do: 'makeAes', emptyId: true, label: 'no-id' },
      { do: 'makeAes', label: 'three', id: 'a1' },
      { do: 'makeAes', label: 'three', id: 'a2' },
      { do: 'makeRsa', label: 'three', id: 'a3' },
      { do: 'makeAes', label: 'weak', sensitive: false, extractable: true, wrap: true, sign: true },
    )
    const made = [...rows, ...fine].map(({ what, make }): [string, Settings] => [
      nameOf(what),
      sandbox.key(make()),
    ])
    settings = new Map(made)
    const config = sandbox.hsmConfig({ keys: { hsm: sandbox.key(), ...Object.fromEntries(made) } })
    check = await sandbox.run(['check', '--config', sandbox.writeConfig(config)], { env: hsm.env })
  }, 120_000)
  afterAll(async () => {
    // Or only root could remove what is in it.
    sandbox.makeFolder('read-only')
    await sandbox.close()
  })

  let settings: ReadonlyMap<string, Settings>
  const modules = new Map<string, ReturnType<typeof makeFaultModule>>()
  let files = 0

  /** What is told of one key, by level. */
  function toldOf(what: string): { readonly errors: string[]; readonly warnings: string[] } {
    const name = nameOf(what)
    const lines = check.stdout.split('\n').filter((line) => line.split(/ +/)[1]?.split('.')[1] === name)
    const of = (level: string) => lines.filter((line) => line.startsWith(level))
    return { errors: of('ERROR'), warnings: of('warning') }
  }

  test('check finds them all in one run, and neither prints a stack trace nor a PIN', () => {
    expect({ code: check.code, stderr: check.stderr }).toEqual({ code: 1, stderr: '' })
    expect(check.stdout).not.toMatch(STACK)
    expect(check.stdout).not.toContain(PIN)
    expect(check.stdout).toMatch(/^ok +keys\.hsm +wraps and unwraps/m)
  })

  test.each(rows)('$what is told by check in one line', ({ what, line, level }) => {
    const { errors, warnings } = toldOf(what)
    const told = level === 'warning' ? warnings.filter((text) => line.test(text)) : errors
    expect(told.join('\n')).toMatch(line)
    expect(told).toHaveLength(1)
  })

  describe.concurrent('leaves the plugin up, which says so in one line and serves once it is mended', () => {
    test.each(rows.filter(({ what }) => served.includes(what)))(
      '$what',
      async ({ what, line, code, mend }) => {
        const name = nameOf(what)
        const port = await freePort()
        const socket = sandbox.path(`run-${name}`, 'kms.sock')
        const plugin = sandbox.begin(
          sandbox.hsmConfig({
            server: { socket },
            health: { address: `127.0.0.1:${port}`, probeInterval: '100ms' },
            keys: { hsm: settings.get(name) },
          }),
          { env: sandbox.hsm.env },
        )
        const page = async (path: string) => {
          const response = await fetch(`http://127.0.0.1:${port}${path}`)
          return `${response.status} ${await response.text()}`
        }
        const told = () =>
          plugin.log().filter((entry) => entry.level === 'error' && line.test(String(entry['reason'])))
        await until(() => told().length > 0, BOUND_MS, what)
        await until(async () => (await page('/readyz')).includes(`hsm: primary, ${code}`), BOUND_MS, what)
        expect(await page('/readyz')).toMatch(/^503 /)
        expect(await page('/livez')).toMatch(/^200 /)
        expect(told()).toHaveLength(1)
        if (mend !== undefined) {
          mend()
          await until(async () => isHealthy(socket), BOUND_MS)
          expect(await page('/readyz')).toMatch(/^200 /)
        }
        expect(await plugin.stop()).toEqual({ code: 0, signal: null })
        expect(plugin.stderr()).not.toMatch(STACK)
        expect(plugin.stderr()).not.toContain(PIN)
      },
    )
  })

  test.each(fine)('$what is no mistake', ({ what, warning }) => {
    const { errors, warnings } = toldOf(what)
    expect(errors).toEqual([])
    expect(warnings).toHaveLength(warning === undefined ? 0 : 1)
    if (warning !== undefined) expect(warnings[0]).toMatch(warning)
    expect(check.stdout).toMatch(new RegExp(`^ok +keys\\.${nameOf(what)} +found `, 'm'))
  })

  test('the other one of two tokens with one label is another token', async () => {
    const second = slots.filter(({ label }) => label === 'twin')[1]
    const config = sandbox.hsmConfig({ keys: { hsm: sandbox.key(twin({ tokenSerial: second?.serial })) } })
    const { code, stdout } = await sandbox.run(['check', '--config', sandbox.writeConfig(config)], {
      env: sandbox.hsm.env,
    })
    expect(code).toBe(1)
    expect(stdout).toMatch(/^ERROR +keys\.hsm\.key +there is no AES or RSA private key "twin-key"/m)
  })

  test('a token whose security officer is locked out serves', async () => {
    const plugin = sandbox.begin(
      sandbox.hsmConfig({
        keys: { hsm: settings.get(nameOf('a token whose security officer is locked out')) },
      }),
      { env: sandbox.hsm.env },
    )
    await plugin.says('primary key proved')
    expect(await plugin.stop()).toEqual({ code: 0, signal: null })
  })

  describe.skipIf(nssMissing !== undefined)(
    nssMissing === undefined ? 'NSS' : `NSS (skipped: ${nssMissing})`,
    () => {
      test.each<[string, Settings, RegExp]>([
        ['without libraryParameters', {}, /C_Initialize: CKR_ARGUMENTS_BAD.*as NSS, want libraryParameters/],
        [
          'with a database that is not there',
          { libraryParameters: "configdir='sql:/nowhere'" },
          /cannot be initialised .*check libraryParameters/,
        ],
        [
          'with parameters that crash it',
          { libraryParameters: 'nonsense' },
          /ended while it loaded the module .*libsoftokn3\.so.*check module and libraryParameters|cannot be initialised .*check libraryParameters/,
        ],
      ])('%s is told in one line that names libraryParameters', async (_what, change, line) => {
        const { module, tokenLabel } = await makeNssDatabase(sandbox.makeFolder(`nss-${files++}`))
        const key = sandbox.key({ module, tokenLabel, ...change })
        const config = sandbox.writeConfig(sandbox.hsmConfig({ keys: { hsm: key } }))
        const { code, stdout } = await sandbox.run(['check', '--config', config])
        expect(code).toBe(1)
        const errors = stdout.split('\n').filter((text) => text.startsWith('ERROR'))
        expect(errors).toHaveLength(1)
        expect(errors[0]).toMatch(line)
      })
    },
  )

  /** Of the key in the config. */
  function nameOf(what: string): string {
    return `key-${[...rows, ...fine].findIndex((row) => row.what === what)}`
  }

  function write(path: string, content: string | Uint8Array): void {
    sandbox.writeFile(path.slice(path.lastIndexOf('/') + 1), content, 0o755)
  }

  /** A module file, which the operator replaces by the real one. */
  function moduleRow(what: string, make: (path: string) => void, line: RegExp): Row {
    let path = ''
    const isFolder = what.includes('folder')
    return {
      what,
      make: () => {
        path = sandbox.path(`module-${files++}.so`)
        make(path)
        return { module: path }
      },
      line,
      code: 'ERR_CONFIG_INVALID',
      ...(isFolder ? {} : { mend: () => copyFileSync(sandbox.hsm.module, path) }),
    }
  }

  function keyRow(what: string, keyLabel: string, line: RegExp): Row {
    return { what, make: () => ({ keyLabel }), line, code: 'ERR_KEY_UNUSABLE' }
  }

  /** A PIN file, which the operator writes anew. */
  function pinRow(what: string, content: string | Uint8Array | undefined, line: RegExp, mode = 0o600): Row {
    const name = `pin-${what.replaceAll(/[^a-zA-Z0-9]+/g, '-')}`
    return {
      what,
      make: () => {
        if (content !== undefined) sandbox.writeFile(name, content, mode)
        return { pin: `file:${sandbox.path(name)}` }
      },
      line,
      code: 'ERR_CONFIG_INVALID',
      mend: () => void sandbox.writeFile(name, PIN),
    }
  }

  function faultModule(control: string): ReturnType<typeof makeFaultModule> {
    const made = makeFaultModule(sandbox.hsm)
    made.set([control])
    return made
  }

  /** A token with such a habit, which it loses. */
  function faulty(
    what: string,
    control: string,
    { line, code, settings: more = {} }: Pick<Row, 'line' | 'code'> & { readonly settings?: Settings },
  ): Row {
    return {
      what,
      make: () => {
        const made = faultModule(control)
        modules.set(what, made)
        return { module: made.path, ...more }
      },
      line,
      code,
      ...(what.includes('mechanism') ? {} : { mend: () => modules.get(what)?.heal() }),
    }
  }

  /** The one that got the key. */
  function first(): SeenSlot | undefined {
    return slots.find(({ label }) => label === 'twin')
  }

  function twin(change: Settings): Settings {
    return { tokenLabel: 'twin', keyLabel: 'twin-key', ...change }
  }
})

/** That of makeSoftHsm; known before there is a token. */
const PIN = '24681357'

/** The beginning of a shared library (ELF-64 and ELF-32, System V ABI), and nothing behind it. */
function elfHeader(machine: number, elfClass: 1 | 2): Buffer {
  const header = Buffer.alloc(4096)
  header.write('\x7fELF', 'latin1')
  // EI_CLASS, EI_DATA (little-endian), EI_VERSION; then e_type ET_DYN, e_machine, e_version.
  header.set([elfClass, 1, 1], 4)
  header.writeUInt16LE(3, 16)
  header.writeUInt16LE(machine, 18)
  header.writeUInt32LE(1, 20)
  return header
}

describe('a uri with a mistake: exit 78, and one line names file, line, setting and remedy', () => {
  const scene = sandboxPerTest()

  test.each<[string, string, RegExp]>([
    ['another scheme', 'pkcs:token=k8s;object=kek-1', /must begin with pkcs11:/],
    ['a misspelt attribute', 'pkcs11:tokn=k8s;object=kek-1', /unknown attribute tokn; did you mean token\?/],
    [
      'a foreign attribute',
      'pkcs11:token=k8s;library-version=1;object=k',
      /library-version; known are token, serial/,
    ],
    ['an attribute without a value', 'pkcs11:token=k8s;object', /has a part without a name and =/],
    ['a comma for a semicolon', 'pkcs11:token=k8s,object=kek-1', /names no key; add ;object=LABEL/],
    ['a token alone', 'pkcs11:token=k8s', /names no key; add ;object=LABEL/],
    ['a bad escape', 'pkcs11:token=k8s;id=%0', /a % that two hexadecimal digits do not follow/],
    ['a PIN, not repeated', 'pkcs11:token=k8s;object=k?pin-value=24681357', /pin-value; a PIN never stands/],
    ['a relative module', 'pkcs11:token=k8s;object=k?module-path=lib.so', /module-path that is not absolute/],
  ])('%s', async (_what, uri, expected) => {
    const lines = ['primary: hsm', 'keys:', '  hsm:', '    backend: pkcs11', `    uri: "${uri}"`]
    const file = scene.sandbox.writeFile(
      'c.yaml',
      [...lines, '    module: /m.so', '    pin: file:/pin'].join('\n'),
    )
    for (const command of ['check', 'serve']) {
      const { code, stderr } = await scene.sandbox.run([command, '--config', file])
      expect(code).toBe(CONFIG_INVALID)
      expect(stderr).toMatch(expected)
      expect(stderr.startsWith(`${file}:5: keys.hsm.uri: `)).toBe(true)
      expect(stderr.trimEnd().split('\n')).toHaveLength(1)
      expect(stderr).not.toContain(PIN)
    }
  })

  test('a relative module is refused before anything is looked at', async () => {
    const lines = ['primary: hsm', 'keys:', '  hsm:', '    backend: pkcs11', '    module: lib/p11.so']
    const more = ['    tokenLabel: k8s', '    keyLabel: k', '    pin: file:/pin']
    const file = scene.sandbox.writeFile('c.yaml', [...lines, ...more].join('\n'))
    const { code, stderr } = await scene.sandbox.run(['check', '--config', file])
    expect(code).toBe(CONFIG_INVALID)
    expect(stderr).toMatch(/:5: keys\.hsm\.module: must be an absolute path\n$/)
  })
})
