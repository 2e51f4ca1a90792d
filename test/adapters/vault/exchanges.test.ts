/** The fake answers as OpenBao does: the same table is put to OpenBao itself in test/servers/openbao. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FakeVault } from '../../support/fakes/vault.js'
import type { Policy } from '../../support/fakes/vault/policies.js'
import {
  CONTEXT,
  DEK,
  exchanges,
  KEYS,
  lacking,
  loginExchanges,
  ROTATED,
  said,
  type Caller,
  type Exchange,
  type Json,
  type Sealed,
} from '../../support/vault_exchanges.js'

/** Where the fake answers otherwise, on purpose. */
const deviations: Readonly<Record<string, string>> = {}

let fake: FakeVault
let sealed: Sealed
let tokens: Readonly<Record<Caller, string | undefined>>
beforeAll(async () => {
  fake = await FakeVault.start()
  tokens = {
    kms: fake.tokens.make({ policies: ['kms', 'default'], period: 3600 }).id,
    stranger: fake.tokens.make({ policies: ['default'] }).id,
    unknown: 's.thatNobodyGaveOut00000000',
    nobody: undefined,
    batch: fake.tokens.make({ policies: ['kms', 'default'], type: 'batch' }).id,
    fixed: fake.tokens.make({ policies: ['kms', 'default'], isRenewable: false }).id,
  }
  sealed = await prepare()
})
afterAll(async () => {
  await fake.close()
})

const ask = async (
  method: string,
  path: string,
  body?: Json | string,
  headers: Readonly<Record<string, string>> = {},
): Promise<readonly [number, Json]> => {
  const text = typeof body === 'object' ? JSON.stringify(body) : body
  const response = await fetch(`${fake.server.url}/v1/${path}`, {
    method,
    headers,
    ...(text === undefined ? {} : { body: text }),
  })
  const answer = await response.text()
  return [response.status, answer === '' ? {} : (JSON.parse(answer) as Json)]
}

async function prepare(): Promise<Sealed> {
  const names = [...Object.keys(KEYS), 'absent']
  const grants = ['transit', 'unmounted'].flatMap((mount) =>
    names.flatMap((name) => [
      { [`${mount}/keys/${name}`]: ['read'] as const },
      { [`${mount}/encrypt/${name}`]: ['update'] as const },
      { [`${mount}/decrypt/${name}`]: ['update'] as const },
    ]),
  )
  fake.policies.set('kms', Object.assign({}, ...grants) as Policy)
  for (const [name, wish] of Object.entries(KEYS)) fake.transit.create(name, wish)
  const seal = async (key: string, bindings: Json = {}): Promise<string> => {
    const headers = { 'x-vault-token': tokens.kms! }
    const [, answer] = await ask('POST', `transit/encrypt/${key}`, { plaintext: DEK, ...bindings }, headers)
    return (answer['data'] as { ciphertext: string }).ciphertext
  }
  const made = {
    kek: await seal('kek'),
    other: await seal('other'),
    bound: await seal('kek', { associated_data: CONTEXT }),
    floor: await seal('floor'),
    derived: await seal('derived', { context: CONTEXT }),
    rsa: await seal('rsa'),
    gone: await seal('gone'),
  }
  for (const name of ROTATED) fake.transit.rotate(name)
  fake.transit.get('floor')!.minDecryption = 2
  fake.transit.get('gone')!.softDeleted = true
  return made
}

const check = async ({ by = 'kms', namespace, ...row }: Exchange): Promise<void> => {
  const token = tokens[by]
  const headers = {
    ...(token === undefined ? {} : { 'x-vault-token': token }),
    ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
  }
  const body = typeof row.body === 'function' ? row.body(sealed) : row.body
  const [status, answer] = await ask(row.method, row.path, body, headers)
  expect([status, said(answer)], row.name).toEqual([
    row.status,
    row.says === undefined ? '' : expect.stringMatching(row.says),
  ])
  expect(lacking(answer, row.has), row.name).toEqual([])
}

test.each(exchanges.filter(({ name }) => !Object.hasOwn(deviations, name)))('$name', async (row) => {
  await check(row)
})

test('logins', async () => {
  const names = {
    ...{ roleId: 'a-role-id', secretId: 'a-secret-id', password: 'a-password' },
    ...{ jwt: 'a.signed.jwt', serviceAccount: 'another.signed.jwt' },
  }
  const wish = { policies: ['kms'] }
  fake.logins.add('approle', 'approle', names.roleId, [names.secretId], wish)
  fake.logins.add('userpass', 'userpass', 'kms', [names.password], wish)
  fake.logins.add('jwt', 'jwt', 'kms', [names.jwt], wish)
  fake.logins.add('kubernetes', 'kubernetes', 'kms', [names.serviceAccount], wish)
  fake.logins.add('cert', 'cert', 'kms', ['node-1'], wish)
  for (const row of loginExchanges(names)) await check(row)
})

test('deviates where it is said to, and nowhere else', async () => {
  for (const [name, why] of Object.entries(deviations)) {
    const row = exchanges.find((one) => one.name === name)
    expect(row, `a deviation (${why}) from no row: ${name}`).toBeDefined()
    await expect(check(row!)).rejects.toThrow()
  }
})
