import { tokenContract } from '../contract/pkcs11_token.js'
import { makeOpencryptoki, opencryptokiMissing } from '../support/modules/opencryptoki.js'
import { makeP11Kit, p11KitMissing } from '../support/modules/p11kit.js'
import { makeTpm2, tpm2Missing } from '../support/modules/tpm2.js'
import type { KeyKind, TokenModule } from '../support/modules/token_module.js'

const openCryptoki = { name: 'openCryptoki', make: makeOpencryptoki, missing: opencryptokiMissing }
tokenContract({ ...openCryptoki, mechanism: 'aes-cbc-hmac', format: 5 })
tokenContract({ ...openCryptoki, mechanism: 'rsa-oaep-sha256', format: 6 })

/** A TPM's keys are made by its own tool. */
function makeKeys(...kinds: readonly KeyKind[]): (token: object) => void {
  return (token) => {
    for (const kind of kinds)
      (token as TokenModule).makeKey(kind, kind === 'hmac' ? 'mac' : 'kek', {
        id: kind === 'hmac' ? 'kekhmac' : 'kek',
      })
  }
}

const tpm2 = { name: 'tpm2-pkcs11', make: makeTpm2, missing: tpm2Missing }
tokenContract({ ...tpm2, mechanism: 'aes-cbc-hmac', format: 5, makeKek: makeKeys('aes', 'hmac') })
tokenContract({
  ...tpm2,
  mechanism: 'rsa-oaep-sha256',
  format: 6,
  makeKek: makeKeys('rsa'),
  // Every RSA key that its tool makes may sign.
  settings: { allowWeakKey: ['CKA_SIGN'] },
})

tokenContract({
  name: 'NSS over p11-kit',
  make: makeP11Kit,
  missing: p11KitMissing,
  mechanism: 'rsa-oaep-sha256',
  format: 6,
})
