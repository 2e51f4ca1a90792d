/** Fresh values as aws-encryption-provider makes them, by botocore and the SDK on both servers, open with the backend. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import { awsEncryptionProvider } from '../../../src/adapters/formats/aws_encryption_provider.js'
import { erased } from '../../../src/adapters/formats/format.js'
import type { StoredValue } from '../../../src/ports/foreign.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { envOf, openAws, useEnv, within } from '../../support/aws_scene.js'
import { open } from '../../support/cloud_values.js'
import { PrivateFiles } from '../../support/certificates.js'
import { FakeAws } from '../../support/fakes/aws.js'
import { makeIdentity, type Identity } from '../../support/fakes/aws/identities.js'
import { laboratoryOf, laboratoryOfFake, type Laboratory } from './laboratory.js'
import { LocalStack, pythonWithLocalStack } from './localstack.js'

const SCRIPT = fileURLToPath(new URL('./botocore_encrypt.py', import.meta.url))
const python = pythonWithLocalStack()
const decoder = erased(awsEncryptionProvider).decoder({}, { allowUnauthenticated: false })

interface Server {
  readonly url: string
  readonly lab: Laboratory
  readonly identity: Identity
  close(): Promise<void>
}

const servers: Readonly<Record<string, () => Promise<Server>>> = {
  LocalStack: async () => {
    const server = await LocalStack.start(python ?? '')
    const identity = { ...makeIdentity(), accessKeyId: '111122223333' }
    return { url: server.url, lab: laboratoryOf(server), identity, close: async () => server.close() }
  },
  'the fake': async () => {
    const aws = await FakeAws.start()
    const lab = laboratoryOfFake(aws)
    return { url: aws.server.url, lab, identity: aws.addIdentity(), close: async () => aws.close() }
  },
}

describe.skipIf(python === undefined).each(Object.keys(servers))('on %s', (name) => {
  const plaintext = randomBytes(32)
  const contexts = [undefined, { cluster: 'prod-1', team: 'infra' }]
  const wrappers: AwsKeyWrapper[] = []
  let server: Server
  let files: PrivateFiles
  let restore: () => void
  let arn: string

  beforeAll(async () => {
    server = await servers[name]!()
    files = new PrivateFiles()
    restore = useEnv(envOf(server.identity))
    arn = await server.lab.makeKey()
    await server.lab.setAlias('alias/kek', arn)
    for (const encryptionContext of contexts) {
      wrappers.push(openAws({ keyId: arn, endpoint: server.url, encryptionContext }))
    }
  })

  afterAll(async () => {
    await Promise.all(wrappers.map(async (one) => one.close()))
    server.lab.kms.destroy()
    restore()
    files.remove()
    await server.close()
  })

  async function byBotocore(key: string, context: Record<string, string> | undefined): Promise<Buffer> {
    const args = [server.url, key, plaintext.toString('base64'), JSON.stringify(context ?? null)]
    const env = {
      ...envOf(server.identity),
      PATH: process.env['PATH'],
      HOME: files.folder,
      AWS_EC2_METADATA_DISABLED: 'true',
    }
    const { stdout } = await promisify(execFile)(python ?? '', [SCRIPT, ...args], { env })
    return Buffer.from(stdout, 'base64')
  }

  async function bySdk(
    KeyId: string,
    EncryptionContext: Record<string, string> | undefined,
  ): Promise<Buffer> {
    const { CiphertextBlob } = await server.lab.kms.encrypt({
      KeyId,
      Plaintext: plaintext,
      EncryptionContext,
    })
    return Buffer.from(CiphertextBlob ?? [])
  }

  describe.each([
    ['botocore', byBotocore],
    ['the SDK', bySdk],
  ])('what %s had encrypted', (_maker, encrypt) => {
    test.each([
      ['its ARN', 0],
      ['its ARN, with a context', 1],
      ['an alias', 0],
      ['an alias, with a context', 1],
    ])('by %s, opens as v1 and as v2 with its own context alone', async (how, which) => {
      const keyName = how.startsWith('an alias') ? 'alias/kek' : arn
      const blob = await encrypt(keyName, contexts[which])
      const ciphertext = Buffer.concat([Buffer.from('1'), blob])
      for (const keyId of [undefined, keyName]) {
        const stored: StoredValue = { ciphertext, keyId, annotations: {} }
        expect(decoder.recognize(stored)).toBe(keyId === undefined ? 'bytes' : 'keyId')
        expect(plaintext.equals(await open(decoder, wrappers[which]!, stored, within()))).toBe(true)
        const withOther = open(decoder, wrappers[1 - which]!, stored, within())
        expect(await outcomeOf(withOther)).toBe('ERR_DECRYPTION_FAILED')
        const altered = { ...stored, ciphertext: Buffer.from(ciphertext) }
        altered.ciphertext.writeUInt8(
          altered.ciphertext.readUInt8(ciphertext.length - 1) ^ 1,
          ciphertext.length - 1,
        )
        expect(await outcomeOf(open(decoder, wrappers[which]!, altered, within()))).toBe(
          'ERR_DECRYPTION_FAILED',
        )
      }
    })
  })
})
