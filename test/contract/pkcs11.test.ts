import { backend, openOn, settingsOf } from '../adapters/pkcs11/opened.js'
import { makeSoftHsm, softHsmMissing } from '../support/softhsm.js'
import { keyWrapperContract } from './key_wrapper.js'

keyWrapperContract(
  'pkcs11',
  async () => {
    const hsm = await makeSoftHsm()
    const { deps } = openOn(hsm)
    await backend.keygen?.(settingsOf(hsm), deps)
    return { open: () => openOn(hsm).wrapper, remove: hsm.remove }
  },
  softHsmMissing,
)
