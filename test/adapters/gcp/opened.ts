/** The fake of Google Cloud on plain HTTP with one account, and wrappers over its key: what most tests here begin with. */
import { afterEach, beforeEach } from 'vitest'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import { KmsError } from '../../../src/ports/errors.js'
import type { CallOptions, KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { PrivateFiles } from '../../support/certificates.js'
import { FakeGcp } from '../../support/fakes/gcp.js'
import { ACCOUNT, newPrivateKey, openGcp, serviceAccountJson, type Opening } from '../../support/gcp.js'

const clock = createSystemClock()
/** It takes a while to make one. */
const privateKey = newPrivateKey()

export interface Scene {
  fake: FakeGcp
  files: PrivateFiles
  logger: RecordingLogger
  /** A credentials file that lets in. */
  credentials: string
  open(change?: Partial<Opening>): KeyWrapper
  /** `METHOD path` of all requests so far, without those for tokens. */
  asked(): string[]
}

export function useScene(): Scene {
  const scene = {} as Scene
  const opened: KeyWrapper[] = []
  beforeEach(async () => {
    const fake = await FakeGcp.start()
    fake.addAccount(ACCOUNT, privateKey)
    const files = new PrivateFiles()
    const logger = new RecordingLogger()
    const { url } = fake.server
    const credentials = files.write('credentials.json', serviceAccountJson(privateKey, url))
    const open = (change: Partial<Opening> = {}): KeyWrapper => {
      const wrapper = openGcp({ endpoint: url, credentials, logger, ...change })
      opened.push(wrapper)
      return wrapper
    }
    const asked = () =>
      fake.server.requests
        .map(({ method, url: at }) => `${method} ${at.pathname.replace(/^.*\/cryptoKeys/, '')}`)
        .filter((line) => line !== 'POST /token')
    Object.assign(scene, { fake, files, logger, credentials, open, asked })
  })
  afterEach(async () => {
    for (const wrapper of opened.splice(0)) await wrapper.close()
    await scene.fake.close()
    scene.files.remove()
  })
  return scene
}

/** Nobody looks at the clock of a machine that is busy. */
export function patiently(): CallOptions {
  return { deadlineMs: clock.nowMs() + 20_000 }
}

export async function failureOf(call: Promise<unknown>): Promise<KmsError> {
  try {
    await call
  } catch (error) {
    if (error instanceof KmsError) return error
    throw error
  }
  throw new Error('it did not fail')
}
