/** The auth methods as tests set them up: who is let in, and who is not. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unlessMissing } from '../../support/modules/token_module.js'
import { at, textOf, type BaoAnswer, type BaoApi, type Json } from './api.js'
import { makeSigner } from './jwt.js'
import {
  AUDIENCE,
  enableAppRole,
  enableCert,
  enableJwt,
  enableKubernetes,
  enableUserPass,
  ROLE,
} from './logins.js'
import { missing, OpenBao } from './server.js'
import { TokenReviewer } from './token_review.js'

const wish = { policies: ['kms'], ttl: '90s' }

describe.skipIf(missing !== undefined)(unlessMissing('the logins of OpenBao', missing), () => {
  let server: OpenBao
  let reviewer: TokenReviewer
  beforeAll(async () => {
    server = await OpenBao.start()
    reviewer = await TokenReviewer.start()
  })
  afterAll(async () => {
    await reviewer.close()
    await server.close()
  })

  const nobody = (): BaoApi => server.api.as({ token: undefined })
  const login = async (path: string, body: Json, api = nobody()): Promise<BaoAnswer> =>
    api.ask('POST', `auth/${path}`, body)

  /** It has the policy of the role and nothing else, for as long as the role says. */
  const expectLetIn = async ({ status, body }: BaoAnswer): Promise<void> => {
    expect([status, body]).toEqual([200, expect.anything()])
    const token = textOf(at(body, 'auth'), 'client_token')
    const { policies, ttl } = await server.operator.lookUp(token)
    expect(policies).toEqual(['kms'])
    expect(ttl).toBeGreaterThan(60)
    expect(ttl).toBeLessThanOrEqual(90)
  }

  const expectRefused = ({ status }: BaoAnswer): void => {
    expect(status).toBeGreaterThanOrEqual(400)
    expect(status).toBeLessThan(500)
  }

  test('approle', async () => {
    const { roleId, secretId } = await enableAppRole(server.api, wish)
    expectRefused(await login('approle/login', { role_id: roleId, secret_id: 'another' }))
    await expectLetIn(await login('approle/login', { role_id: roleId, secret_id: secretId }))
  })

  test('userpass', async () => {
    const { username, password } = await enableUserPass(server.api, wish)
    expectRefused(await login(`userpass/login/${username}`, { password: 'another' }))
    await expectLetIn(await login(`userpass/login/${username}`, { password }))
  })

  test('cert', async () => {
    const client = await server.authority.issue({ commonName: 'node-1' })
    const other = await server.authority.issue({ commonName: 'node-2' })
    await enableCert(server.api, wish, server.authority.cert, 'node-1')
    expectRefused(await login('cert/login', { name: ROLE }))
    expectRefused(await login('cert/login', { name: ROLE }, nobody().as({ client: other })))
    await expectLetIn(await login('cert/login', { name: ROLE }, nobody().as({ client })))
  })

  test('jwt', async () => {
    const sign = await enableJwt(server.api, wish)
    const forged = makeSigner().sign({ iss: 'https://issuer.test', sub: 'kms', aud: AUDIENCE })
    expectRefused(await login('jwt/login', { role: ROLE, jwt: forged }))
    await expectLetIn(await login('jwt/login', { role: ROLE, jwt: sign() }))
  })

  test('kubernetes', async () => {
    const token = await enableKubernetes(server.api, wish, reviewer)
    const jwt = token()
    await expectLetIn(await login('kubernetes/login', { role: ROLE, jwt }))
    reviewer.know(jwt, undefined)
    expectRefused(await login('kubernetes/login', { role: ROLE, jwt }))
  })
})
