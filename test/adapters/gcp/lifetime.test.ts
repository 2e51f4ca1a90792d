/** How long is a token believed, when what is said of its end cannot be? */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ACCOUNT, newPrivateKey, serviceAccountJson } from '../../support/gcp.js'
import { patiently, useScene } from './opened.js'

const scene = useScene()
const privateKey = newPrivateKey()
const OTHER = 'other@acme-prod.iam.gserviceaccount.com'

test.each([
  ['in the past, since our clock is ahead', () => new Date(Date.now() - 3_600_000).toISOString()],
  ['in no form', () => 'soon'],
])('a token whose end is %s is used all the same, and not replaced at once', async (_name, expireTime) => {
  scene.fake.addAccount(ACCOUNT, privateKey)
  const { url } = scene.fake.server
  const json = {
    type: 'impersonated_service_account',
    service_account_impersonation_url: `${url}/v1/projects/-/serviceAccounts/${OTHER}:generateAccessToken`,
    source_credentials: JSON.parse(serviceAccountJson(privateKey, url)) as object,
  }
  const credentials = scene.files.write('other.json', JSON.stringify(json))
  const accessToken = scene.fake.issue(OTHER, ['https://www.googleapis.com/auth/cloudkms'])
  scene.fake.server.fault = ({ url: at }) =>
    at.pathname.endsWith(':generateAccessToken')
      ? { status: 200, body: { accessToken, expireTime: expireTime() } }
      : undefined
  const wrapper = scene.open({ credentials })
  await wrapper.currentKeyId(patiently())
  await sleep(1200)
  await wrapper.currentKeyId(patiently())
  const asked = scene.fake.server.requests.filter(({ url: at }) => at.pathname === '/token')
  expect(asked).toHaveLength(1)
})
