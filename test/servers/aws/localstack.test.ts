/** The backend on LocalStack, and the fake beside it: what one answers, the other answers. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { keyWrapperContract } from '../../contract/key_wrapper.js'
import { envOf, openAws, useEnv } from '../../support/aws_scene.js'
import { FakeAws } from '../../support/fakes/aws.js'
import { makeIdentity } from '../../support/fakes/aws/identities.js'
import { laboratoryOf, laboratoryOfFake, type Laboratory } from './laboratory.js'
import { LocalStack, pythonWithLocalStack } from './localstack.js'
import { deviations, outcomeOf, requests } from './requests.js'

const python = pythonWithLocalStack()
const skipped = python === undefined ? 'LocalStack is not installed: run npm run test:extended' : undefined

keyWrapperContract(
  'aws, on LocalStack',
  async () => {
    const server = await LocalStack.start(python ?? '')
    const arn = await laboratoryOf(server).makeKey()
    const restore = useEnv(envOf({ ...makeIdentity(), accessKeyId: '111122223333' }))
    return {
      open: () => openAws({ keyId: arn, endpoint: server.url, encryptionContext: { cluster: 'test' } }),
      remove: async () => {
        restore()
        await server.close()
      },
    }
  },
  skipped,
)

describe.skipIf(skipped !== undefined)('LocalStack and the fake', () => {
  let server: LocalStack
  let aws: FakeAws
  let labs: { readonly fake: Laboratory; readonly localStack: Laboratory }

  beforeAll(async () => {
    server = await LocalStack.start(python ?? '')
    aws = await FakeAws.start()
    labs = { fake: laboratoryOfFake(aws), localStack: laboratoryOf(server) }
  })

  afterAll(async () => {
    labs.fake.kms.destroy()
    labs.localStack.kms.destroy()
    await aws.close()
    await server.close()
  })

  test.each(Object.keys(requests))(
    'answer alike, but for the deviations that are listed: %s',
    async (name) => {
      const outcomes = {
        fake: await outcomeOf(requests[name]!, labs.fake),
        localStack: await outcomeOf(requests[name]!, labs.localStack),
      }
      const { fake, localStack } = deviations[name] ?? { fake: outcomes.fake, localStack: outcomes.fake }
      expect(outcomes).toEqual({ fake, localStack })
    },
  )

  test('differ in nothing that is listed and was not asked', () => {
    expect(Object.keys(deviations).filter((name) => !(name in requests))).toEqual([])
  })
})
