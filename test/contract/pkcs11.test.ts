import { faultModuleMissing, makeFaultModule } from '../support/fault_module.js'
import { makeNss, nssMissing } from '../support/modules/nss.js'
import { makeSoftHsm, softHsmMissing } from '../support/softhsm.js'
import { tokenContract } from './pkcs11_token.js'

const softHsm = { name: 'SoftHSM', make: makeSoftHsm, missing: softHsmMissing }
tokenContract({ ...softHsm, mechanism: 'aes-gcm', format: 1 })
tokenContract({ ...softHsm, mechanism: 'aes-kwp', format: 4 })
tokenContract({ ...softHsm, mechanism: 'aes-kw', format: 3 })
tokenContract({ ...softHsm, mechanism: 'aes-cbc-hmac', format: 5 })

const nss = { name: 'NSS', make: makeNss, missing: nssMissing }
tokenContract({ ...nss, mechanism: 'aes-gcm', format: 1 })
tokenContract({ ...nss, mechanism: 'aes-kwp', format: 4 })
tokenContract({ ...nss, mechanism: 'aes-kw', format: 3 })
tokenContract({ ...nss, mechanism: 'aes-cbc-hmac', format: 5 })
tokenContract({ ...nss, mechanism: 'rsa-oaep-sha256', format: 6 })

/** SoftHSM with the habits of another module. */
async function makeHabit(...habit: string[]) {
  const token = await makeSoftHsm()
  const fault = makeFaultModule(token)
  fault.set(habit)
  return { ...token, module: fault.path }
}

const missing = softHsmMissing ?? faultModuleMissing
tokenContract({
  name: "a Luna's own IV",
  make: async () => makeHabit('lunaiv=1'),
  missing,
  mechanism: 'aes-gcm',
  format: 2,
})
tokenContract({
  name: "a CloudHSM's own IV",
  make: async () => makeHabit('cloudhsmiv=1'),
  missing,
  mechanism: 'aes-gcm',
  format: 1,
})
