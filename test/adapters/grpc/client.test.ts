import { relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createKmsClient } from '../../../src/adapters/grpc/client.js'
import { KmsError } from '../../../src/ports/errors.js'
import { fakeKeyId, TestServer } from './fake_service.js'

let t: TestServer

beforeEach(() => {
  t = new TestServer()
})
afterEach(async () => t.close())

async function statusOf(socket: string) {
  const client = createKmsClient(socket)
  try {
    return await client.status()
  } finally {
    client.close()
  }
}

describe('the client of a running plugin', () => {
  test('tells what kube-apiserver would be told', async () => {
    await t.start()
    expect(await statusOf(t.socket)).toMatchObject({ version: 'v2', healthz: 'ok', keyId: fakeKeyId })
    t.service.status = () => ({ keyId: fakeKeyId, problem: 'ERR_BACKEND_UNAVAILABLE: out' })
    expect(await statusOf(t.socket)).toMatchObject({ healthz: 'ERR_BACKEND_UNAVAILABLE: out' })
  })

  test('takes a path that is relative to where we are', async () => {
    await t.start()
    expect(await statusOf(relative(process.cwd(), t.socket))).toMatchObject({ healthz: 'ok' })
  })

  test('says which socket does not answer', async () => {
    const answer = statusOf(t.socket)
    await expect(answer).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE' })
    await expect(answer).rejects.toThrow(t.socket)
  })

  test('says what a plugin answers that has a problem', async () => {
    await t.start()
    t.service.status = () => {
      throw new KmsError('ERR_KEY_NOT_FOUND', 'SECRET')
    }
    const answer = statusOf(t.socket)
    await expect(answer).rejects.toMatchObject({ code: 'ERR_BACKEND_UNAVAILABLE' })
    await expect(answer).rejects.toThrow('KEK not found')
  })
})
