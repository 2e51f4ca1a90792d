import { byLabel, OkmsSubject } from '../support/okms_subject.js'
import { keyWrapperContract } from './key_wrapper.js'

keyWrapperContract('okms', async () => {
  const subject = await OkmsSubject.start()
  return { open: () => subject.open(), remove: async () => subject.close() }
})

keyWrapperContract('okms with a context, by a label, encrypting directly', async () => {
  const subject = await OkmsSubject.start()
  subject.fake.form = { alg: 'dir', header: {} }
  const settings = { ...byLabel(), context: 'cluster-1' }
  return { open: () => subject.open(settings), remove: async () => subject.close() }
})
