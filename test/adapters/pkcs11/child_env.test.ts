import { expect, test } from 'vitest'
import { childEnv } from '../../../src/adapters/backends/pkcs11/child_env.js'

test('nothing that loads code or holds a secret reaches the HSM process', () => {
  const env = childEnv({
    NODE_OPTIONS: '--inspect',
    LD_PRELOAD: '/tmp/evil.so',
    LD_LIBRARY_PATH: '/tmp',
    HSM_PIN: '1234',
    VAULT_TOKEN: 't',
    AWS_SECRET_ACCESS_KEY: 's',
    HTTPS_PROXY: 'http://proxy',
    KMSPLUGIN_CONFIG: '/etc/kmsplugin/kmsplugin-config.yaml',
    PATH: undefined,
  })
  expect(env).toEqual({})
})

test("the vendors' own variables reach it", () => {
  const vendors = {
    PATH: '/usr/bin',
    LANG: 'C.UTF-8',
    TZ: 'UTC',
    SOFTHSM2_CONF: '/etc/softhsm2.conf',
    ChrystokiConfigurationPath: '/etc',
    NSS_LIB_PARAMS: 'x',
    CKNFAST_LOADSHARING: '1',
    YUBIHSM_PKCS11_CONF: '/etc/yubihsm',
    TPM2_PKCS11_STORE: '/var/lib/tpm2',
  }
  expect(childEnv(vendors)).toEqual(vendors)
})
