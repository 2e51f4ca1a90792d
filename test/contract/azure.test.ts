import { expect, test } from 'vitest'
import { AzureKeyWrapper } from '../../src/adapters/backends/azure/wrapper.js'
import type { KeyWrapper } from '../../src/ports/key_wrapper.js'
import { deps, section } from '../adapters/azure/opened.js'
import { FakeAzure } from '../support/fakes/azure.js'
import { keyWrapperContract, type Subject } from './key_wrapper.js'

function opened(fake: FakeAzure): KeyWrapper {
  return new AzureKeyWrapper(section(fake.server.url), deps({ env: { SECRET: fake.entra.secret } }))
}

async function makeSubject(prepare: (fake: FakeAzure) => void): Promise<Subject> {
  const fake = await FakeAzure.start()
  prepare(fake)
  return { open: () => opened(fake), remove: async () => fake.server.close() }
}

keyWrapperContract('Azure Key Vault (RSA, 2048 bits)', async () =>
  makeSubject((fake) => {
    fake.addVersion('kek')
  }),
)

keyWrapperContract('Azure Managed HSM (RSA-HSM, 4096 bits)', async () =>
  makeSubject((fake) => {
    fake.resource = 'https://managedhsm.azure.net'
    fake.addVersion('kek', 'RSA-HSM', 4096)
  }),
)

keyWrapperContract('Azure Managed HSM (AES)', async () =>
  makeSubject((fake) => {
    fake.resource = 'https://managedhsm.azure.net'
    fake.addVersion('kek', 'oct-HSM')
  }),
)

test('the subject is the fake: its vault sees what the wrapper does', async () => {
  const fake = await FakeAzure.start()
  const { version } = fake.addVersion('kek')
  const wrapper = opened(fake)
  await wrapper.currentKeyId({ deadlineMs: Infinity })
  expect(fake.asked).toEqual(['GET /keys/kek', 'GET /keys/kek'])
  await wrapper.unwrap(await wrapper.wrap(Buffer.alloc(32, 7), { deadlineMs: Infinity }), {
    deadlineMs: Infinity,
  })
  expect(fake.asked.slice(2)).toEqual([
    `POST /keys/kek/${version}/wrapkey`,
    `POST /keys/kek/${version}/unwrapkey`,
  ])
  await wrapper.close()
  await fake.server.close()
})
