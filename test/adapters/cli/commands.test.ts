import { describe, expect, test } from 'vitest'
import type { ConfigProblem } from '../../../src/ports/config.js'
import { errorCodes, KmsError, type KmsErrorCode } from '../../../src/ports/errors.js'
import type { Finding, RemoteStatus } from '../../../src/ports/operations.js'
import { DEFAULT_CONFIG, run, someConfig, type World } from './run.js'

const problems: readonly ConfigProblem[] = [
  { path: 'server.socketMode', line: 4, text: 'not an octal mode: quote it, as in "0600"' },
  { path: 'primary', text: 'is missing' },
  { path: '', text: 'cannot be read: ENOENT' },
]
/** What is valid all the same. */
const notices: readonly ConfigProblem[] = [
  { path: 'SERVER_CONFIG.REGION', line: 2, text: 'has no effect' },
  { path: 'LOGGER.X', text: 'is not\nthere' },
]
const problemLines = (file: string): string =>
  `${file}:4: server.socketMode: not an octal mode: quote it, as in "0600"\n` +
  `${file}: primary: is missing\n${file}: cannot be read: ENOENT\n`

function failing(error: unknown, logLevel: World['logLevel'] = 'info'): World {
  return {
    logLevel,
    services: {
      keyMaker: async () => {
        throw error
      },
    },
  }
}

describe('the configuration', () => {
  const readers: readonly string[][] = [
    ['serve'],
    ['check'],
    ['keygen', '--key', 'hsm'],
    ['config', 'print'],
    ['config', 'validate'],
    ['status', '--config', DEFAULT_CONFIG],
    ['inspect', '-', '--config', DEFAULT_CONFIG],
  ]
  test.each(readers.map((argv) => [argv.join(' '), argv] as const))(
    '%s tells every problem on stderr and exits with 78 when it is invalid',
    async (_, argv) => {
      const ran = await run(argv, { problems, stdin: Buffer.from('k8s:enc:') })
      expect(ran.exitCode).toBe(78)
      expect(ran.stderr).toBe(problemLines(DEFAULT_CONFIG))
      expect(ran.stdout).toBe('')
      expect(ran.calls).toEqual([`load ${DEFAULT_CONFIG}`])
    },
  )

  test('comes from --config before the environment before the default', async () => {
    const env = { KMSPLUGIN_CONFIG: '/env.yaml' }
    expect((await run(['serve', '--config', '/flag.yaml'], { env })).calls[0]).toBe('load /flag.yaml')
    expect((await run(['serve'], { env })).calls[0]).toBe('load /env.yaml')
    expect((await run(['serve'], { env: { KMSPLUGIN_CONFIG: '' } })).calls[0]).toBe(`load ${DEFAULT_CONFIG}`)
  })
})

describe('an error', () => {
  const exitCodes: Readonly<Record<KmsErrorCode, number>> = {
    ...(Object.fromEntries(Object.keys(errorCodes).map((code) => [code, 69])) as Record<
      KmsErrorCode,
      number
    >),
    ERR_CONFIG_INVALID: 78,
    ERR_INTERNAL: 70,
    ERR_INVALID_REQUEST: 70,
    ERR_REQUEST_TOO_LARGE: 70,
    ERR_CANCELLED: 70,
  }
  test.each(Object.entries(exitCodes))(
    '%s is one line on stderr and exits with %i',
    async (code, exitCode) => {
      const error = new KmsError(code as KmsErrorCode, 'keys.hsm: it\nfailed')
      const ran = await run(['keygen', '--key', 'hsm'], failing(error))
      expect(ran).toMatchObject({
        exitCode,
        stdout: '',
        stderr: `kmsplugin: keys.hsm: it\\u{a}failed (${code})\n`,
      })
    },
  )

  test('that nobody expected is one line and exits with 70', async () => {
    const ran = await run(['keygen', '--key', 'hsm'], failing(new TypeError('x is undefined')))
    expect(ran).toMatchObject({
      exitCode: 70,
      stdout: '',
      stderr: 'kmsplugin: x is undefined (ERR_INTERNAL)\n',
    })
  })

  test('that is no Error is one line and exits with 70', async () => {
    const ran = await run(['keygen', '--key', 'hsm'], failing('a string'))
    expect(ran.exitCode).toBe(70)
    expect(ran.stderr.split('\n')).toHaveLength(2)
  })

  test('that nobody expected shows its stack at log level debug', async () => {
    const ran = await run(['keygen', '--key', 'hsm'], failing(new TypeError('x is undefined'), 'debug'))
    expect(ran.exitCode).toBe(70)
    expect(ran.stderr).toContain('TypeError: x is undefined\n    at ')
  })

  test('of the configuration source itself does not reject', async () => {
    const configSource = async (): Promise<never> => {
      throw new Error('broken')
    }
    expect(await run(['serve'], { services: { configSource } })).toMatchObject({ exitCode: 70 })
  })
})

describe('serve', () => {
  test('runs the plugin with the loaded configuration and passes its exit code on', async () => {
    const ran = await run(['serve', '--config', '/x.yaml'])
    expect(ran).toMatchObject({ exitCode: 0, stdout: '', stderr: '' })
    expect(ran.calls).toEqual(['load /x.yaml', 'serve /x.yaml'])
    expect((await run(['serve'], { services: { serve: async () => 69 } })).exitCode).toBe(69)
  })

  test('leaves notices about the configuration to the log', async () => {
    expect(await run(['serve'], { notices })).toMatchObject({
      stderr: '',
      calls: [`load ${DEFAULT_CONFIG}`, `serve ${DEFAULT_CONFIG} SERVER_CONFIG.REGION LOGGER.X`],
    })
  })
})

describe('check', () => {
  const withFindings = (...findings: Finding[]): World => ({
    services: { preflight: async () => ({ run: async () => findings }) },
  })
  const good: Finding = { level: 'ok', subject: 'config', text: 'valid' }
  const warning: Finding = { level: 'warning', subject: 'server.socket', text: 'the folder is new' }
  const bad: Finding = { level: 'error', subject: 'keys.hsm', text: 'CKA_EXTRACTABLE is\ntrue' }

  test('exits with 1 when there is an error, and aligns its lines', async () => {
    const ran = await run(['check'], withFindings(good, warning, bad))
    expect(ran).toMatchObject({ exitCode: 1, stderr: '' })
    expect(ran.stdout).toBe(
      'ok       config         valid\n' +
        'warning  server.socket  the folder is new\n' +
        'ERROR    keys.hsm       CKA_EXTRACTABLE is\\u{a}true\n',
    )
  })

  test('exits with 0 when there are only warnings', async () => {
    expect((await run(['check'], withFindings(good, warning))).exitCode).toBe(0)
  })

  test('shows notices about the configuration as warnings, and they are no error', async () => {
    const ran = await run(['check'], { ...withFindings(good), notices })
    expect(ran).toMatchObject({ exitCode: 0, stderr: '' })
    expect(ran.stdout).toBe(
      'warning  config  SERVER_CONFIG.REGION, line 2: has no effect\n' +
        'warning  config  LOGGER.X: is not\\u{a}there\n' +
        'ok       config  valid\n',
    )
    const { stdout } = await run(['check', '--json'], { ...withFindings(good), notices })
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, findings: [{ level: 'warning' }, {}, good] })
  })

  test('--json prints one document', async () => {
    const ran = await run(['check', '--json'], withFindings(good, bad))
    expect(ran.exitCode).toBe(1)
    expect(JSON.parse(ran.stdout)).toEqual({ ok: false, findings: [good, bad] })
  })

  test('--json prints one document for an invalid configuration too', async () => {
    const ran = await run(['check', '--json'], { problems })
    expect(ran.exitCode).toBe(78)
    expect(JSON.parse(ran.stdout)).toMatchObject({ ok: false, findings: [{ level: 'error' }, {}, {}] })
    expect(ran.stderr).toBe(problemLines(DEFAULT_CONFIG))
  })
})

describe('status', () => {
  const answering = (answer: Partial<RemoteStatus> | Error, hungUp: string[] = []): World => ({
    services: {
      kmsClient: async () => ({
        status: async () => {
          if (answer instanceof Error) throw answer
          return { version: 'v2', healthz: 'ok', keyId: 'local:a.b', ...answer }
        },
        close: () => void hungUp.push('close'),
      }),
    },
  })

  test('exits with 69 when nobody answers, and hangs up', async () => {
    const hungUp: string[] = []
    const error = new KmsError('ERR_BACKEND_UNREACHABLE', 'nobody listens on /run/kmsplugin/kms.sock')
    const ran = await run(['status'], answering(error, hungUp))
    expect(ran).toMatchObject({ exitCode: 69, stdout: '' })
    expect(hungUp).toEqual(['close'])
  })

  test.each(['OK', '', 'keys.hsm: ERR_BACKEND_UNAVAILABLE'])(
    'exits with 1 when healthz is "%s"',
    async (healthz) => {
      expect((await run(['status'], answering({ healthz }))).exitCode).toBe(1)
    },
  )

  test('prints what kube-apiserver hears, one line each', async () => {
    const ran = await run(['status'], answering({ healthz: 'down\u001b[2J' }))
    expect(ran.stdout).toBe('healthz  down\\u{1b}[2J\nversion  v2\nkey id   local:a.b\n')
  })

  test('--json prints one document', async () => {
    const ran = await run(['status', '--socket', '/s', '--json'])
    expect(JSON.parse(ran.stdout)).toEqual({ socket: '/s', healthz: 'ok', version: 'v2', keyId: 'local:a.b' })
    expect(ran.calls).toEqual(['connect /s', 'hang up'])
  })

  test('takes the socket from the flag before the configuration', async () => {
    expect((await run(['status', '--socket', 'unix:///s'])).calls).toEqual(['connect /s', 'hang up'])
    expect((await run(['status'])).calls).toContain(`connect ${someConfig().server.socket}`)
  })

  test('asks the default socket, and says so, when there is no configuration that anyone asked for', async () => {
    const ran = await run(['status'], { problems })
    expect(ran.exitCode).toBe(0)
    expect(ran.calls).toContain('connect /run/kmsplugin/kms.sock')
    expect(ran.stderr).toBe(`kmsplugin: ${DEFAULT_CONFIG} does not load; asking /run/kmsplugin/kms.sock\n`)
  })

  test('an invalid configuration of the environment is not passed over', async () => {
    const ran = await run(['status'], { problems, env: { KMSPLUGIN_CONFIG: '/env.yaml' } })
    expect(ran).toMatchObject({ exitCode: 78, calls: ['load /env.yaml'] })
  })
})

describe('keygen', () => {
  test('a key that exists already exits with 78', async () => {
    const error = new KmsError('ERR_CONFIG_INVALID', 'keys.hsm: a KEK exists already')
    expect((await run(['keygen', '--key', 'hsm'], failing(error))).exitCode).toBe(78)
  })

  test('prints what was made', async () => {
    const ran = await run(['keygen', '--key', 'hsm'])
    expect(ran).toMatchObject({ exitCode: 0, stdout: 'made hsm\n', stderr: '' })
  })
})

describe('config', () => {
  test('print shows the effective configuration', async () => {
    expect(await run(['config', 'print'])).toMatchObject({
      exitCode: 0,
      stdout: 'primary: hsm\n',
      stderr: '',
    })
  })

  test('validate names the file that is valid', async () => {
    const ran = await run(['config', 'validate', '--config', '/x.yaml'])
    expect(ran).toMatchObject({ exitCode: 0, stdout: '/x.yaml: valid\n', stderr: '' })
  })

  test('validate warns of what is valid and worth a word, and prints it nowhere else', async () => {
    const ran = await run(['config', 'validate', '--config', '/x.yaml'], { notices })
    expect(ran).toMatchObject({ exitCode: 0, stdout: '/x.yaml: valid\n' })
    expect(ran.stderr).toBe(
      '/x.yaml:2: warning: SERVER_CONFIG.REGION: has no effect\n' +
        '/x.yaml: warning: LOGGER.X: is not\\u{a}there\n',
    )
    expect((await run(['config', 'print'], { notices })).stderr).toBe('')
  })

  test('schema needs no configuration', async () => {
    const ran = await run(['config', 'schema'], { problems })
    expect(ran).toMatchObject({ exitCode: 0, stderr: '', calls: [] })
    expect(JSON.parse(ran.stdout)).toEqual({ type: 'object' })
  })
})
