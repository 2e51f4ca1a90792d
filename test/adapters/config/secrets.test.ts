import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createConfigSource } from '../../../src/adapters/config/config_source.js'
import { masked } from '../../../src/adapters/config/secrets.js'
import { rows } from '../../../src/adapters/config/settings.js'
import { fileWith, minimal, problemsOf } from './fixtures.js'

const canary = 'hunter2-canary'

describe('no value of the file is ever shown', () => {
  const places = [
    ...rows.map(({ section, key }) => `${section}:\n  ${key}: CANARY\n${minimal}`),
    ...rows.map(({ section, key }) => `${section}:\n  ${key}: [CANARY, {CANARY: CANARY}]\n${minimal}`),
    `server: CANARY\n${minimal}`,
    `server:\n  unknown: CANARY\n${minimal}`,
    `unknown: CANARY\n${minimal}`,
    `unknown:\n  - CANARY\n${minimal}`,
    minimal.replace('primary: a', 'primary: CANARY'),
    minimal.replace('disk', 'CANARY'),
    minimal.replace('/var/lib/k', 'CANARY'),
    `${minimal}    unknown: CANARY\n`,
    'primary: a\nkeys: CANARY\n',
    'primary: a\nkeys:\n  a: CANARY\n',
    ...['backend', 'tokenLabel', 'pin', 'slot', 'mechanism', 'readOnly', 'tls'].map(
      (name) =>
        `primary: a\nkeys:\n  a: {backend: token, ${name === 'backend' ? '' : `${name}: CANARY`}, x: CANARY}\n`,
    ),
    'primary: a\nkeys:\n  a: {backend: token, tls: {ca: [CANARY], apiKey: CANARY}}\n',
    'primary: a\nkeys:\n  a: {backend: unheard-of, pin: CANARY}\n',
    `pin: CANARY: x\n`,
    `pin: "CANARY\n`,
    `pin: *CANARY\n`,
    `pin: !CANARY x\n`,
    'CANARY',
  ]
  test.each(places)('%j', async (text) => {
    const problems = await problemsOf(text.replaceAll('CANARY', canary))
    expect(problems.length).toBeGreaterThan(0)
    expect(JSON.stringify(problems)).not.toContain(canary)
  })
})

describe('secrets', () => {
  const lax = createConfigSource({
    lax: async () =>
      z.looseObject({
        backend: z.literal('lax'),
        id: z
          .string()
          .refine(() => false, { error: ({ input }) => `bad ${String(input)}` })
          .optional(),
      }),
  })

  async function laxProblems(line: string): Promise<readonly { path: string; text: string }[]> {
    return (await lax.load(fileWith(`primary: a\nkeys:\n  a:\n    backend: lax\n    ${line}\n`))).problems
  }

  test.each([
    'pin: "1234"',
    'pin: 1234',
    'userPin: x',
    'password: x',
    'apiKey: x',
    'API_KEY: x',
    'userPIN: x',
    'token: x',
    'clientSecret: x',
    'secretId: x',
    'secret_id: x',
    'jwt: x',
    'pin: file:x',
    'pin: ibm-config:/etc/kmsplugin-config.yaml',
    'apiKey: ibm-config:x',
    'pin: "env:"',
    'pin: [file:/x]',
    'a: {pin: x}',
    'a: [{pin: x}]',
  ])('a literal is refused whatever the backend accepts: %s', async (line) => {
    const problems = await laxProblems(line)
    expect(problems.map(({ text }) => text)).toEqual([
      expect.stringMatching(/must be a reference such as file:/),
    ])
  })

  test.each([
    'pin: file:/etc/pin',
    'pin: env:HSM_PIN',
    'apiKey: ibm-config:/etc/kmsplugin-config.yaml',
    'tokenLabel: x',
    'keyId: x',
    'roleId: x',
    'secretId: file:/etc/secret-id',
    'spin: x',
    'maxTokens: 5',
    'keyLabel: x',
    'encryptionContext: {cluster-secret: x, token: y}',
  ])('%s is accepted', async (line) => {
    expect(await laxProblems(line)).toEqual([])
  })

  test('a message of a backend that quotes the value is replaced', async () => {
    expect(await laxProblems(`id: ${canary}`)).toEqual([{ path: 'keys.a.id', line: 5, text: 'is not valid' }])
  })

  test('an encryption context, whose names the operator chooses and which AWS logs in the clear, is shown', () => {
    const given = { encryptionContext: { 'cluster-secret': 'x', token: 'y' } }
    expect(masked(given)).toEqual(given)
  })

  test('a literal is masked at any depth and references stay', () => {
    const given = { a: { pin: 'file:/p', apiKey: canary, more: [{ password: canary, id: 'x' }], token: 5 } }
    expect(masked(given)).toEqual({
      a: { pin: 'file:/p', apiKey: '********', more: [{ password: '********', id: 'x' }], token: '********' },
    })
  })
})
