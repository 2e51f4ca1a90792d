import { describe, expect, test } from 'vitest'
import { settings } from '../../../src/adapters/backends/ibm/settings.js'

const good = {
  backend: 'ibm',
  url: 'https://eu-de.kms.cloud.ibm.com',
  instanceId: '9d6fd0d2-6f0b-4c7c-9e0f-3a5d9d3b1c11',
  keyId: '02fd6835-6001-4482-a892-13bd2085f75d',
  apiKey: 'file:/etc/kmsplugin/ibm-api-key',
} as const

function problems(change: Record<string, unknown>): string[] {
  const result = settings.safeParse({ ...good, ...change })
  return result.success ? [] : result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
}

describe('the settings of an IBM root key', () => {
  test('an API key in the config file is refused, and the refusal does not quote it', () => {
    for (const apiKey of ['hunter2', 42, 'ibm-config:relative.yaml', 'file:relative']) {
      const [problem = '', ...more] = problems({ apiKey })
      expect(more).toEqual([])
      expect(problem).toBe('apiKey: must be file:/absolute/path, env:NAME or ibm-config:/absolute/path')
    }
    expect(problems({ apiKey: undefined })).toEqual(['apiKey: is missing'])
  })

  test.each([
    ['instanceId', 'crn:v1:bluemix:public:kms:eu-de:a/1:2::', 'GUID'],
    ['instanceId', 'a\r\nx-evil: 1', 'GUID'],
    ['keyId', 'crn:v1:bluemix:public:kms:eu-de:a/1:2:key:3', 'not its name or CRN'],
    ['keyId', '../instance', 'not its name or CRN'],
    ['keyRing', 'a ring', 'key ring'],
    ['url', 'http://kms.example.com', 'https'],
    ['tokenUrl', 'http://iam.example.com', 'https'],
    ['caFile', 'ca.pem', 'absolute path'],
    ['aad', [], 'aad'],
    ['aad', ['x'.repeat(256)], '255'],
  ])('%s: %j is refused', (name, value, said) => {
    const found = problems({ [name]: value }).join('\n')
    expect(found).toContain(name)
    expect(found).toContain(said)
  })

  test('a setting that there is not is refused: a region is part of the URL', () => {
    expect(problems({ region: 'eu-de' }).join()).toContain('region')
  })

  test('the smallest file asks the IAM of IBM Cloud', () => {
    expect(settings.parse(good).tokenUrl).toBe('https://iam.cloud.ibm.com/identity/token')
  })

  test('what the file of IBM’s plug-in holds is taken as it stands there', () => {
    const change = {
      url: 'https://kms-api.kube-system:28674/',
      tokenUrl: 'https://iam-token-service.kube-system:10443/oidc/token',
      apiKey: 'ibm-config:/etc/cfc/conf/kmsplugin-config.yaml',
      caFile: '/etc/cfc/conf/ca.crt',
      tokenCaFile: '/etc/cfc/conf/ca.crt',
    }
    expect(problems(change)).toEqual([])
  })
})
