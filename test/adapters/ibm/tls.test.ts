/** Whom the plugin trusts: the KMS and IAM may have certificates of different authorities. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ibm } from '../../../src/adapters/backends/ibm/index.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { makeAuthority, PrivateFiles } from '../../support/certificates.js'
import { FakeServer } from '../../support/fakes/fake_server.js'
import { FakeIbm } from '../../support/fakes/ibm.js'
import { backendDeps } from '../../support/backend_deps.js'

let fake: FakeIbm
let iam: FakeServer
let files: PrivateFiles
let ca: { readonly kms: string; readonly iam: string }

beforeEach(async () => {
  files = new PrivateFiles()
  const [forKms, forIam] = [await makeAuthority('of the KMS'), await makeAuthority('of IAM')]
  ca = { kms: files.write('kms.pem', forKms.cert), iam: files.write('iam.pem', forIam.cert) }
  fake = await FakeIbm.start(await forKms.issue())
  iam = await FakeServer.start((request) => fake.iam.answer(request), await forIam.issue())
})
afterEach(async () => {
  await iam.close()
  await fake.close()
  files.remove()
})

async function outcome(trust: Record<string, string>): Promise<string> {
  const settings = ibm.settings.parse({
    backend: 'ibm',
    url: fake.server.url,
    instanceId: fake.instanceId,
    keyId: fake.addKey().id,
    apiKey: `file:${files.write('api-key', fake.iam.makeApiKey())}`,
    tokenUrl: `${iam.url}/identity/token`,
    ...trust,
  })
  const wrapper = ibm.open(settings, backendDeps())
  try {
    return await outcomeOf(wrapper.currentKeyId({ deadlineMs: Infinity }))
  } finally {
    await wrapper.close()
  }
}

test('each service is trusted by its own file', async () => {
  expect(await outcome({ caFile: ca.kms, tokenCaFile: ca.iam })).toBe('OK')
})

test.each([
  ['the file of the KMS for IAM', () => ({ caFile: ca.kms, tokenCaFile: ca.kms })],
  [
    'no file for IAM: the authorities of the system are meant, not those of the KMS',
    () => ({ caFile: ca.iam }),
  ],
])('IAM is not trusted by %s, and gets no API key', async (_name, trust) => {
  expect(await outcome(trust())).toBe('ERR_BACKEND_UNREACHABLE')
  expect(iam.requests).toEqual([])
})

test('the KMS is not trusted by the file of IAM, and gets no token', async () => {
  expect(await outcome({ caFile: ca.iam, tokenCaFile: ca.iam })).toBe('ERR_BACKEND_UNREACHABLE')
  expect(fake.server.requests).toEqual([])
})
