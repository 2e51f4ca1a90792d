import { IbmSubject } from '../support/ibm_subject.js'
import { keyWrapperContract } from './key_wrapper.js'

keyWrapperContract('ibm', async () => {
  const subject = await IbmSubject.start()
  return { open: () => subject.open(), remove: async () => subject.close() }
})

keyWrapperContract('ibm with additional data, by an alias, in a key ring', async () => {
  const subject = await IbmSubject.start()
  subject.key.aliases.add('kubernetes')
  subject.key.ring = 'clusters'
  const settings = { keyId: 'kubernetes', keyRing: 'clusters', aad: ['cluster-1', 'etcd'] }
  return { open: () => subject.open(settings), remove: async () => subject.close() }
})

keyWrapperContract('ibm on an older service, which tells no versions', async () => {
  const subject = await IbmSubject.start()
  subject.fake.tellsVersions = false
  subject.fake.speaksOlderApi = true
  return { open: () => subject.open(), remove: async () => subject.close() }
})
