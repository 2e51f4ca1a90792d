import { describe, expect, test } from 'vitest'
import { settings } from '../../../src/adapters/backends/aws/settings.js'

const ID = '1234abcd-12ab-34cd-56ef-1234567890ab'
const ARN = `arn:aws:kms:eu-west-1:111122223333:key/${ID}`

function problems(section: Record<string, unknown>): string[] {
  const result = settings.safeParse({ backend: 'aws', ...section })
  return result.success ? [] : result.error.issues.map(({ path, message }) => `${path.join('.')} ${message}`)
}

describe('keyId', () => {
  test.each([
    '',
    'kek',
    'alias/',
    'alias/a b',
    'alias',
    '1234abcd',
    ID.toUpperCase(),
    'arn:aws:kms:eu-west-1:111122223333:key/kek',
    'arn:aws:kms:eu-west-1:1111:key/' + ID,
    'arn:aws:s3:eu-west-1:111122223333:key/' + ID,
    `arn:aws:kms:eu-west-1:111122223333:alias/${'a'.repeat(300)}`,
    `${ARN}\n`,
  ])('refuses what names no key: %j', (keyId) => {
    expect(problems({ keyId })).toEqual([expect.stringContaining('keyId must be a key id')])
  })

  test.each([
    ID,
    'mrk-1234abcd12ab34cd56ef1234567890ab',
    ARN,
    'alias/kek',
    'alias/team/kek_1-a',
    'arn:aws:kms:eu-west-1:111122223333:alias/kek',
    `arn:aws-cn:kms:cn-north-1:111122223333:key/${ID}`,
    `arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/${ID}`,
  ])('takes each form of a name: %s', (keyId) => {
    expect(problems({ keyId })).toEqual([])
  })
})

describe('the other settings', () => {
  test.each([
    [{ region: 'Ireland' }, 'region must be the name of a region'],
    [{ region: 'us-east-1' }, 'region is not that of keyId, which is eu-west-1'],
    [{ endpoint: 'http://kms.example.com' }, 'endpoint must begin with https://'],
    [{ endpoint: 'https://u:p@kms.example.com' }, 'endpoint must not contain a user name'],
    [{ encryptionContext: { 'aws:x': 'y' } }, 'encryptionContext must not have a name that begins with aws:'],
    [{ encryptionContext: { a: 'x'.repeat(8192) } }, 'encryptionContext must be at most 8192 bytes'],
    [{ encryptionContext: { a: 1 } }, 'encryptionContext.a '],
    [{ sourceArn: 'my-cluster' }, 'sourceArn must be an ARN'],
    [{ sourceArn: 'arn:aws:s3:::bucket' }, 'sourceArn must be an ARN'],
    [{ profile: 'a]b' }, 'profile must be the name of a profile'],
    [{ caFile: 'ca.pem' }, 'caFile must be the absolute path'],
    [{ accessKeyId: 'AKIA' }, 'Unrecognized key'],
  ])('refuse %j', (section, text) => {
    expect(problems({ keyId: ARN, ...section })).toEqual([expect.stringContaining(text)])
  })

  test('take what the example and the documentation show', () => {
    const section = {
      keyId: ARN,
      region: 'eu-west-1',
      endpoint: 'https://vpce-0a-1b.kms.eu-west-1.vpce.amazonaws.com',
      encryptionContext: { cluster: 'prod-1' },
      sourceArn: 'arn:aws:eks:eu-west-1:111122223333:cluster/prod-1',
      profile: 'kms',
      caFile: '/etc/kmsplugin/ca.pem',
    }
    expect(problems(section)).toEqual([])
  })
})
