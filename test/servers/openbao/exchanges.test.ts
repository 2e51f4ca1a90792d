/** OpenBao itself answers as the table says by which the fake is measured. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unlessMissing } from '../../support/modules/token_module.js'
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
  type Sealed,
} from '../../support/vault_exchanges.js'
import { at, textOf, type BaoApi, type Json } from './api.js'
import { enableAppRole, enableCert, enableJwt, enableKubernetes, enableUserPass } from './logins.js'
import { missing, OpenBao } from './server.js'
import { TokenReviewer } from './token_review.js'

const POLICY = ['transit', 'unmounted']
  .flatMap((mount) => [
    `path "${mount}/keys/+" { capabilities = ["read"] }`,
    `path "${mount}/encrypt/+" { capabilities = ["update"] }`,
    `path "${mount}/decrypt/+" { capabilities = ["update"] }`,
  ])
  .join('\n')

describe.skipIf(missing !== undefined)(unlessMissing('what OpenBao answers', missing), () => {
  let server: OpenBao
  let reviewer: TokenReviewer
  let tokens: Readonly<Record<Caller, string | undefined>>
  let sealed: Sealed
  beforeAll(async () => {
    server = await OpenBao.start()
    reviewer = await TokenReviewer.start()
    sealed = await prepare(server)
    const { operator } = server
    await operator.writePolicy('kms', POLICY)
    tokens = {
      kms: await operator.makeToken({ policies: ['kms', 'default'], period: '1h' }),
      stranger: await operator.makeToken({ policies: ['default'] }),
      unknown: 's.thatNobodyGaveOut00000000',
      nobody: undefined,
      batch: await operator.makeToken({ policies: ['kms', 'default'], type: 'batch', ttl: '1h' }),
      fixed: await operator.makeToken({ policies: ['kms', 'default'], ttl: '1h', renewable: false }),
    }
  })
  afterAll(async () => {
    await reviewer.close()
    await server.close()
  })

  const check = async ({ by = 'kms', namespace, ...row }: Exchange): Promise<void> => {
    const api: BaoApi = server.api.as({ token: tokens[by], namespace })
    const body = typeof row.body === 'function' ? row.body(sealed) : row.body
    const answer = await api.ask(row.method, row.path, body)
    expect([answer.status, said(answer.body)], row.name).toEqual([
      row.status,
      row.says === undefined ? '' : expect.stringMatching(row.says),
    ])
    expect(lacking(answer.body, row.has), row.name).toEqual([])
  }

  test.each(exchanges)('$name', async (row) => {
    await check(row)
  })

  test('logins', async () => {
    const { api, authority } = server
    const wish = { policies: ['kms'] }
    const { password } = await enableUserPass(api, wish)
    await enableCert(api, wish, authority.cert, 'node-1')
    const names = {
      ...(await enableAppRole(api, wish)),
      password,
      jwt: (await enableJwt(api, wish))(),
      serviceAccount: (await enableKubernetes(api, wish, reviewer))(),
    }
    for (const row of loginExchanges(names)) await check(row)
  })
})

async function prepare({ operator, api }: OpenBao): Promise<Sealed> {
  await operator.enableTransit()
  for (const [name, wish] of Object.entries(KEYS)) await operator.makeKey(name, wish)
  const seal = async (key: string, bindings: Json = {}): Promise<string> => {
    const answer = await api.must('POST', `transit/encrypt/${key}`, { plaintext: DEK, ...bindings })
    return textOf(at(answer, 'data'), 'ciphertext')
  }
  const sealed = {
    kek: await seal('kek'),
    other: await seal('other'),
    bound: await seal('kek', { associated_data: CONTEXT }),
    floor: await seal('floor'),
    derived: await seal('derived', { context: CONTEXT }),
    rsa: await seal('rsa'),
    gone: await seal('gone'),
  }
  for (const name of ROTATED) await operator.rotate(name)
  await operator.configure('floor', { min_decryption_version: 2 })
  await operator.softDelete('gone')
  return sealed
}
