/** The SDK of AWS as a guest in this process: absent, silent, and with nothing left open. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { silentLogger } from '../../../src/ports/logger.js'
import { AwsKmsClient } from '../../../src/adapters/backends/aws/client.js'
import { loadSdk } from '../../../src/adapters/backends/aws/sdk.js'
import { AwsKeyWrapper } from '../../../src/adapters/backends/aws/wrapper.js'
import { asKmsError } from '../../../src/ports/errors.js'
import { PrivateFiles } from '../../support/certificates.js'
import { FakeAws } from '../../support/fakes/aws.js'
import { FaultProxy } from '../../support/fault_proxy.js'
import { envOf, openOn, partsWith, useEnv, within } from '../../support/aws_scene.js'

const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url))

let aws: FakeAws
let restore: () => void

beforeEach(async () => {
  aws = await FakeAws.start()
  restore = useEnv(envOf(aws.addIdentity()))
})

afterEach(async () => {
  restore()
  await aws.close()
})

test('without its package the backend says in one line what to install', async () => {
  const absent = async () => Promise.reject(Object.assign(new Error('x'), { code: 'ERR_MODULE_NOT_FOUND' }))
  const section = { backend: 'aws', keyId: aws.addKey().arn } as const
  const { clock, ...deps } = partsWith()
  const client = new AwsKmsClient(section, { clock, ...deps }, async () => loadSdk(absent))
  const wrapper = new AwsKeyWrapper(client, clock, silentLogger, section)
  const error = asKmsError(await wrapper.currentKeyId(within()).catch((thrown: unknown) => thrown))
  expect(error.code).toBe('ERR_CONFIG_INVALID')
  expect(error.message).toMatch(/^[^\n]*@aws-sdk\/client-kms[^\n]*install[^\n]*$/)
  await wrapper.close()
})

test('writes nothing on the console, whatever it finds in its environment', async () => {
  const spies = (['log', 'info', 'warn', 'error', 'debug'] as const).map((name) =>
    vi.spyOn(console, name).mockImplementation(() => undefined),
  )
  // Two sources at once, of which the SDK warns.
  process.env['AWS_PROFILE'] = 'none'
  process.env['AWS_CONTAINER_CREDENTIALS_FULL_URI'] = `${aws.metadata.url}/v1/credentials`
  process.env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'] = '/v1/credentials'
  process.env['AWS_CONTAINER_AUTHORIZATION_TOKEN'] = 'x'
  process.env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'] = '/nonexistent/token'
  const wrapper = openOn(aws, aws.addKey().arn)
  await wrapper.currentKeyId(within()).catch(() => undefined)
  await wrapper.close()
  for (const spy of spies) {
    expect(spy.mock.calls).toEqual([])
    spy.mockRestore()
  }
})

test('the built program writes no line that is not its own, on any Node.js', async () => {
  const files = new PrivateFiles()
  const key = aws.addKey()
  const config = files.write(
    'config.yaml',
    `server:\n  socket: ${files.folder}/kms.sock\nprimary: cloud\nkeys:\n  cloud:\n    backend: aws\n    keyId: ${key.arn}\n    endpoint: ${aws.server.url}\n`,
  )
  const env = { ...process.env }
  delete env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED']
  try {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [MAIN, 'check', '--config', config, '--json'],
      { env },
    )
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toMatchObject({ ok: true })
    expect(aws.operations).toContain('Decrypt')
  } finally {
    files.remove()
  }
})

test('closes its connections with the wrapper', async () => {
  const proxy = await FaultProxy.start(aws.server.port)
  const wrapper = openOn(aws, aws.addKey().arn, { endpoint: `http://127.0.0.1:${proxy.port}` })
  await wrapper.currentKeyId(within())
  expect(proxy.open).toBe(1)
  await wrapper.close()
  while (proxy.open > 0) await new Promise((resolve) => setImmediate(resolve))
  await proxy.close()
})

test('many calls share a few connections, and none is left when all have ended', async () => {
  const proxy = await FaultProxy.start(aws.server.port)
  const wrapper = openOn(aws, aws.addKey().arn, { endpoint: `http://127.0.0.1:${proxy.port}` })
  await wrapper.currentKeyId(within())
  for (let i = 0; i < 20; i += 1) await wrapper.currentKeyId(within())
  expect(proxy.connections).toBe(1)
  await wrapper.close()
  await proxy.close()
})
