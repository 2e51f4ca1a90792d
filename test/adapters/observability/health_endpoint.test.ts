import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { HealthEndpoint } from '../../../src/adapters/observability/health_endpoint.js'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'

async function takenPort() {
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  return { port: (holder.address() as AddressInfo).port, release: () => holder.close() }
}

function endpointOn(port: number) {
  const logger = new RecordingLogger()
  const endpoint = new HealthEndpoint(
    {
      host: '127.0.0.1',
      port,
      path: '/healthz',
      livePath: '/livez',
      health: { report: () => ({ ready: true, keys: [] }) },
      scrape: async () => Promise.resolve(''),
      contentType: 'text/plain',
      logger,
    },
    createSystemClock(),
  )
  onTestFinished(async () => endpoint.stop())
  return { endpoint, logger }
}

test('a port that is in use does not keep the plugin from starting, and is taken as soon as it is free', async () => {
  const { port, release } = await takenPort()
  const { endpoint, logger } = endpointOn(port)
  await endpoint.start()
  expect(logger.lines.map(({ level }) => level)).toEqual(['error'])
  release()
  await expect
    .poll(async () => (await fetch(`http://127.0.0.1:${port}/livez`)).status, {
      timeout: 20_000,
      interval: 100,
    })
    .toBe(200)
})

test('stopping ends the wait for the port', async () => {
  const { port, release } = await takenPort()
  onTestFinished(() => {
    release()
  })
  const { endpoint } = endpointOn(port)
  await endpoint.start()
  await endpoint.stop()
  await endpoint.stop()
})
