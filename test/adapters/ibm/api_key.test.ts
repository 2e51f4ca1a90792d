import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readApiKey } from '../../../src/adapters/backends/ibm/api_key.js'
import { asKmsError, type KmsError } from '../../../src/ports/errors.js'
import { PrivateFiles } from '../../support/certificates.js'

const KEY = 'hunter2-canary-0123456789abcdef-ABCDEFGHIJKL'
const IBM_FILE = `SERVER_CONFIG:
  REGION: "IBMCloudPakForMCM"
  NUM_LEN_BYTES: 4
  API_KEY: "${KEY}"
  NEW_DEK: false
KP_CONFIG:
  VERSION: 1
LOGGER:
  LOG_LEVEL: "info"
`

let files: PrivateFiles
beforeEach(() => {
  files = new PrivateFiles()
})
afterEach(() => files.remove())

async function refusal(reference: string): Promise<KmsError> {
  return readApiKey(reference, {}).then(
    () => {
      throw new Error('it was taken')
    },
    (error: unknown) => asKmsError(error),
  )
}

describe('the API key in the file of IBM’s plug-in', () => {
  test.each([
    ['no such file', undefined],
    ['not YAML', `SERVER_CONFIG: {API_KEY: "${KEY}`],
    ['a key twice', `SERVER_CONFIG:\n  API_KEY: "${KEY}"\n  API_KEY: "${KEY}"\n`],
    ['an alias', `A: &a "${KEY}"\nSERVER_CONFIG:\n  API_KEY: *a\n`],
    ['a merged mapping', `A: &a {API_KEY: "${KEY}"}\nSERVER_CONFIG:\n  <<: *a\n`],
    ['a tag', `SERVER_CONFIG:\n  API_KEY: !!str "${KEY}"\n`],
    ['two documents', `${IBM_FILE}---\n${IBM_FILE}`],
    ['not there', 'SERVER_CONFIG:\n  REGION: x\n'],
    ['at another place', `API_KEY: "${KEY}"\n`],
    ['nothing', 'SERVER_CONFIG:\n  API_KEY:\n'],
    ['an empty text', 'SERVER_CONFIG:\n  API_KEY: "  "\n'],
    ['a number', 'SERVER_CONFIG:\n  API_KEY: 12345\n'],
    ['a list', `SERVER_CONFIG:\n  API_KEY: ["${KEY}"]\n`],
    ['two lines', `SERVER_CONFIG:\n  API_KEY: "${KEY}\\n${KEY}"\n`],
    ['a list in place of SERVER_CONFIG', `SERVER_CONFIG: ["${KEY}"]\n`],
    ['a text in place of SERVER_CONFIG', `SERVER_CONFIG: "${KEY}"\n`],
    ['thousands of levels', `SERVER_CONFIG: ${'['.repeat(9000)}${']'.repeat(9000)}`],
    ['levels that end the process of who follows them', `${'? '.repeat(30_000)}x`],
    ['more than anybody writes', `${IBM_FILE}#${'x'.repeat(70_000)}`],
    ['another encoding', `SERVER_CONFIG:\n  API_KEY: "${KEY}\ufffd"\n`],
  ])('is refused in words that name the file and quote nothing: %s', async (_name, text) => {
    const path = text === undefined ? `${files.folder}/absent` : files.write('ibm.yaml', text)
    const error = await refusal(`ibm-config:${path}`)
    expect(error.code).toBe('ERR_CONFIG_INVALID')
    expect(error.message).toContain(path)
    expect(`${error.stack ?? ''}${JSON.stringify(error.cause ?? '')}`).not.toContain('hunter2')
  })

  test('is refused where others may read the file', async () => {
    const path = files.write('ibm.yaml', IBM_FILE, 0o640)
    expect((await refusal(`ibm-config:${path}`)).message).toContain('chmod 600')
  })

  test('is read, whatever else stands in the file', async () => {
    const path = files.write('ibm.yaml', IBM_FILE)
    expect(await readApiKey(`ibm-config:${path}`, {})).toBe(KEY)
  })

  test('is read anew each time', async () => {
    const path = files.write('ibm.yaml', IBM_FILE)
    await readApiKey(`ibm-config:${path}`, {})
    files.write('ibm.yaml', IBM_FILE.replace(KEY, 'the-next-one'))
    expect(await readApiKey(`ibm-config:${path}`, {})).toBe('the-next-one')
  })
})

test('an API key that was moved out of the config file while the plugin runs is read from where it is now', async () => {
  const path = files.write('ibm.yaml', IBM_FILE)
  expect(await readApiKey(`ibm-config:${path}`, {})).toBe(KEY)
  const own = files.write('api-key', 'the-same-elsewhere\n')
  files.write('ibm.yaml', IBM_FILE.replace(KEY, `file:${own}`))
  expect(await readApiKey(`ibm-config:${path}`, {})).toBe('the-same-elsewhere')
  files.write('ibm.yaml', IBM_FILE.replace(KEY, 'env:IBM_API_KEY'))
  expect(await readApiKey(`ibm-config:${path}`, { IBM_API_KEY: 'in-the-environment' })).toBe(
    'in-the-environment',
  )
})

test('an API key in a file of its own or in the environment is read without the white space at its end', async () => {
  const path = files.write('api-key', `${KEY}\n`)
  expect(await readApiKey(`file:${path}`, {})).toBe(KEY)
  expect(await readApiKey('env:IBM_API_KEY', { IBM_API_KEY: KEY })).toBe(KEY)
})
