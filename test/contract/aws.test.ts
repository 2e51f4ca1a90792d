import { FakeAws } from '../support/fakes/aws.js'
import { envOf, openOn, useEnv } from '../support/aws_scene.js'
import { keyWrapperContract } from './key_wrapper.js'

const context = { cluster: 'test' }

keyWrapperContract('aws', async () => {
  const aws = await FakeAws.start()
  const key = aws.addKey()
  const restore = useEnv(envOf(aws.addIdentity()))
  return {
    open: () => openOn(aws, key.arn, { encryptionContext: context }),
    remove: async () => {
      restore()
      await aws.close()
    },
  }
})

keyWrapperContract('aws, by an alias, without ids of key material', async () => {
  const aws = await FakeAws.start()
  const key = aws.addKey({ alias: 'alias/kek' })
  key.tellsMaterial = false
  const restore = useEnv(envOf(aws.addIdentity()))
  return {
    open: () => openOn(aws, 'alias/kek'),
    remove: async () => {
      restore()
      await aws.close()
    },
  }
})
