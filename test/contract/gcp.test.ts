import { PrivateFiles } from '../support/certificates.js'
import { FakeGcp } from '../support/fakes/gcp.js'
import { ACCOUNT, newPrivateKey, openGcp, serviceAccountJson } from '../support/gcp.js'
import { keyWrapperContract } from './key_wrapper.js'

keyWrapperContract('gcp', async () => {
  const fake = await FakeGcp.start()
  const files = new PrivateFiles()
  const privateKey = newPrivateKey()
  fake.addAccount(ACCOUNT, privateKey)
  const { url } = fake.server
  const credentials = files.write('credentials.json', serviceAccountJson(privateKey, url))
  return {
    open: () => openGcp({ endpoint: url, credentials }),
    remove: async () => {
      await fake.close()
      files.remove()
    },
  }
})
