import { describe, expect, test } from 'vitest'
import { calledBy, commands } from '../../../src/adapters/cli/index.js'
import { run } from './run.js'

const names = commands.map(({ name }) => name)

describe('what cannot be understood exits with 64, one reason and a way to the help', () => {
  const cases: readonly (readonly [string, string[], string])[] = [
    ['no command', [], 'a command is missing'],
    ['an unknown command near a known one', ['serv'], 'unknown command "serv"; did you mean "serve"?'],
    ['an unknown command near nothing', ['frobnicate'], 'unknown command "frobnicate"'],
    ['a property name of every object', ['constructor'], 'unknown command "constructor"'],
    ['a flag before the command', ['--config', 'f', 'serve'], '"--config" stands before a command'],
    [
      'an unknown flag near a known one',
      ['serve', '--confg', 'f'],
      'unknown flag "--confg"; did you mean "--config"?',
    ],
    ['an unknown flag near nothing', ['check', '--verbose'], 'unknown flag "--verbose"'],
    ['an unknown short flag', ['check', '-x'], 'unknown flag "-x"'],
    ['a flag that another command takes', ['serve', '--json'], 'unknown flag "--json"'],
    ['a flag without its value', ['serve', '--config'], "Option '--config <value>' argument missing"],
    ['a flag with an empty value', ['serve', '--config='], '--config is empty'],
    ['a flag with a needless value', ['check', '--json=yes'], "Option '--json' does not take an argument"],
    [
      'a flag that swallows the next',
      ['check', '--config', '--json'],
      "Option '--config' argument is ambiguous.",
    ],
    ['a surplus word', ['serve', 'now'], 'unexpected argument "now"'],
    ['two files to inspect', ['inspect', 'a', 'b'], 'unexpected argument "b"'],
    ['keygen without a key', ['keygen'], '--key NAME is missing'],
    ['config without an action', ['config'], 'config needs one of print, validate, schema'],
    [
      'an unknown action near a known one',
      ['config', 'shema'],
      'unknown action "shema"; did you mean "schema"?',
    ],
    ['a line break in a word', ['ser\nve'], 'unknown command "ser\\nve"; did you mean "serve"?'],
  ]
  test.each(cases)('%s', async (_, argv, text) => {
    const { exitCode, stdout, stderr, calls } = await run(argv)
    const known = names.includes(argv[0] ?? '') ? `${argv[0]!} --help` : '--help'
    expect(stderr).toBe(`kmsplugin: ${text}\nTry kmsplugin ${known}\n`)
    expect(exitCode).toBe(64)
    expect(stdout).toBe('')
    expect(calls).toEqual([])
  })
})

describe('a link with the name of another plugin', () => {
  test.each(['aws-encryption-provider', 'vault-kubernetes-kms', 'okms-k8s-encryption-provider'])(
    '/%s stands for its command',
    (name) => expect(calledBy(`/${name}`, ['--debug'])).toEqual([name, '--debug']),
  )

  test('a pod that hands the path of the program to the launcher of its image (/go-runner) keeps that line', () => {
    const argv = ['/aws-encryption-provider', '--key=k']
    expect(calledBy('/app/dist/main.js', argv)).toEqual(['aws-encryption-provider', '--key=k'])
    expect(calledBy('/app/dist/main.js', ['/serve'])).toEqual(['/serve'])
    expect(calledBy('/aws-encryption-provider', argv)).toEqual(['aws-encryption-provider', ...argv])
  })

  test.each(['/app/dist/main.js', '/usr/bin/kmsplugin', '/serve', ''])('%j is our own program', (program) =>
    expect(calledBy(program, ['serve'])).toEqual(['serve']),
  )
})

describe('help and version are results, everywhere', () => {
  test.each(['--help', '-h'])('kmsplugin %s names every command and every exit code', async (flag) => {
    const { exitCode, stdout, stderr } = await run([flag])
    expect(exitCode).toBe(0)
    expect(stderr).toBe('')
    expect(names).toEqual([
      ...['serve', 'check', 'status', 'keygen', 'inspect', 'config'],
      ...['aws-encryption-provider', 'vault-kubernetes-kms', 'okms-k8s-encryption-provider'],
    ])
    for (const name of names) expect(stdout).toContain(`kmsplugin ${name} `)
    for (const code of [0, 1, 64, 69, 70, 78]) expect(stdout).toMatch(new RegExp(`^  ${code} `, 'm'))
  })

  test.each(commands)(
    'kmsplugin $name --help shows usage, flags, exit codes and an example',
    async (command) => {
      const { exitCode, stdout, stderr, calls } = await run([command.name, '--help'])
      expect(exitCode).toBe(0)
      expect(stderr).toBe('')
      expect(calls).toEqual([])
      expect(stdout).toContain(`Usage:\n  kmsplugin ${command.name} ${command.synopsis}\n`)
      for (const flag of [...command.flags.map(([flag]) => flag), 'help', 'version'])
        expect(stdout).toMatch(new RegExp(`^  .*--${flag}\\b`, 'm'))
      expect(stdout).toContain('Exit codes: 0 ')
      expect(stdout).toMatch(/Examples:\n {2}.*kmsplugin /)
    },
  )

  test.each([[], ...names.map((name) => [name])])(
    'kmsplugin %s --version prints the version',
    async (...argv) => {
      const { exitCode, stdout } = await run([...argv, '--version'])
      expect(exitCode).toBe(0)
      expect(stdout).toBe('kmsplugin 1.2.3\n')
    },
  )

  test.each(commands)(
    'the usage line of $name names exactly the flags that it takes',
    ({ synopsis, flags }) => {
      const named = [...synopsis.matchAll(/--([a-z]+)/g)].map(([, flag]) => flag)
      expect(named.toSorted()).toEqual(flags.map(([flag]) => flag).toSorted())
    },
  )

  test('no line of any help is wider than a terminal of 120 columns', async () => {
    for (const argv of [[], ...names.map((name) => [name])]) {
      const { stdout } = await run([...argv, '--help'])
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(120)
    }
  })
})
