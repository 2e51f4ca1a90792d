/** What goes over the wire to the KMS, and how its keys become key ids. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { kekPart } from '../../../src/ports/key_id.js'
import { DEK_BYTES, type KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { keyIdOf } from '../../../src/adapters/backends/identity.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { makeVersion } from '../../support/fakes/ibm_keys.js'
import { IbmSubject } from '../../support/ibm_subject.js'

const options = { deadlineMs: Infinity }
const dek = Buffer.alloc(DEK_BYTES, 0x5a)

let subject: IbmSubject
let wrapper: KeyWrapper

beforeEach(async () => {
  subject = await IbmSubject.start()
  wrapper = subject.open()
})
afterEach(async () => subject.close())

const rotate = () => subject.key.versions.push(makeVersion())
const lastRequest = () => subject.fake.kmsRequests.at(-1)!

describe('on the wire', () => {
  test('wrap and unwrap are asked for as IBM documents them', async () => {
    const { id } = subject.key
    const ring = { keyRing: 'default', aad: ['cluster-1', 'ä'] }
    const ringed = subject.open(ring)
    const wrapped = await ringed.wrap(dek, options)
    const wrapRequest = lastRequest()
    await ringed.unwrap(wrapped, options)
    const unwrapRequest = lastRequest()
    for (const [action, request] of [
      ['wrap', wrapRequest],
      ['unwrap', unwrapRequest],
    ] as const) {
      expect([request.method, request.url.pathname]).toEqual(['POST', `/api/v2/keys/${id}/actions/${action}`])
      expect(request.headers).toMatchObject({
        accept: 'application/json',
        'content-type': `application/vnd.ibm.kms.key_action_${action}+json`,
        'bluemix-instance': subject.fake.instanceId,
        'x-kms-key-ring': 'default',
        authorization: `Bearer ${subject.fake.iam.given[0] ?? ''}`,
      })
      expect(request.headers['correlation-id']).toMatch(/^[0-9a-f-]{36}$/)
      expect(JSON.parse(request.body.toString())).toMatchObject({ aad: ring.aad })
    }
    expect(JSON.parse(wrapRequest.body.toString())).toMatchObject({ plaintext: dek.toString('base64') })
    expect(wrapRequest.headers['correlation-id']).not.toBe(unwrapRequest.headers['correlation-id'])
  })

  test('what is not set is not sent', async () => {
    await wrapper.wrap(dek, options)
    expect(lastRequest().headers).not.toHaveProperty('x-kms-key-ring')
    expect(Object.keys(JSON.parse(lastRequest().body.toString()) as object)).toEqual(['plaintext'])
  })

  test('a base URL that ends in a slash is the same service', async () => {
    const { keyId } = await wrapper.wrap(dek, options)
    expect(await subject.open({ url: `${subject.fake.server.url}/` }).currentKeyId(options)).toBe(keyId)
  })

  test('a wrap, an unwrap and a look cost one call each, and the first of all one look more', async () => {
    const wrapped = await wrapper.wrap(dek, options)
    const counts = [subject.fake.kmsRequests.length]
    await wrapper.wrap(dek, options)
    counts.push(subject.fake.kmsRequests.length)
    await wrapper.unwrap(wrapped, options)
    counts.push(subject.fake.kmsRequests.length)
    await wrapper.currentKeyId(options)
    counts.push(subject.fake.kmsRequests.length)
    expect(counts).toEqual([2, 3, 4, 5])
  })

  test('a service that knows the older addresses only is asked at those, and once at the others', async () => {
    subject.fake.speaksOlderApi = true
    const wrapped = await wrapper.wrap(dek, options)
    expect(Buffer.from(await wrapper.unwrap(wrapped, options)).equals(dek)).toBe(true)
    const { id } = subject.key
    expect(
      subject.fake.kmsRequests.map(({ method, url }) => `${method} ${url.pathname}${url.search}`),
    ).toEqual([
      `GET /api/v2/keys/${id}/metadata`,
      `GET /api/v2/keys/${id}`,
      `POST /api/v2/keys/${id}?action=wrap`,
      `POST /api/v2/keys/${id}?action=unwrap`,
    ])
  })
})

describe('an address that is unknown for a moment', () => {
  test('does not keep the plugin from going back to it', async () => {
    await wrapper.currentKeyId(options)
    subject.fake.speaksOlderApi = true
    await wrapper.wrap(dek, options)
    subject.fake.speaksOlderApi = false
    await wrapper.wrap(dek, options)
    expect(lastRequest().url.pathname).toMatch(/\/actions\/wrap$/)
  })

  test('is not taken for missing rights, which the older addresses may need', async () => {
    await wrapper.currentKeyId(options)
    const { server } = subject.fake
    server.fault = ({ url }) => {
      if (url.pathname.endsWith('/metadata')) return { status: 404, body: '<html>' }
      return url.pathname.startsWith('/api/') ? { status: 401, body: '' } : undefined
    }
    expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('ERR_BACKEND_RESPONSE')
  })
})

describe('the key id', () => {
  test('is made of the instance, the key’s own id and the version that the answer to wrap names', async () => {
    const { keyId } = await wrapper.wrap(dek, options)
    const [version] = subject.key.versions
    expect(keyId).toBe(keyIdOf('ibm', [subject.fake.instanceId, subject.key.id], [version!.id]))
  })

  test('moves on a rotation, which a wrap tells before anybody has looked; old versions still open', async () => {
    const old = await wrapper.wrap(dek, options)
    rotate()
    const fresh = await wrapper.wrap(dek, options)
    expect(fresh.keyId).not.toBe(old.keyId)
    expect(kekPart(fresh.keyId)).toBe(kekPart(old.keyId))
    expect(await wrapper.currentKeyId(options)).toBe(fresh.keyId)
    for (const wrapped of [old, fresh]) {
      for (const one of [wrapper, subject.open()]) {
        expect(Buffer.from(await one.unwrap(wrapped, options)).equals(dek)).toBe(true)
      }
    }
  })

  test('is the same by an alias, and by an instance id in other letters', async () => {
    subject.key.aliases.add('kubernetes')
    const { keyId } = await wrapper.wrap(dek, options)
    for (const change of [{ keyId: 'kubernetes' }, { instanceId: subject.fake.instanceId.toUpperCase() }]) {
      expect(await subject.open(change).currentKeyId(options)).toBe(keyId)
    }
  })

  test('moves with an alias that is moved to another key, and what the old key wrapped is unknown then', async () => {
    subject.key.aliases.add('kubernetes')
    const aliased = subject.open({ keyId: 'kubernetes' })
    const old = await aliased.wrap(dek, options)
    subject.key.aliases.delete('kubernetes')
    const other = subject.fake.addKey({ aliases: new Set(['kubernetes']) })
    expect((await aliased.wrap(dek, options)).keyId).toBe(old.keyId)
    const moved = await aliased.currentKeyId(options)
    expect(moved).toBe(keyIdOf('ibm', [subject.fake.instanceId, other.id], [other.versions[0]!.id]))
    expect((await aliased.wrap(dek, options)).keyId).toBe(moved)
    expect(await outcomeOf(aliased.unwrap(old, options))).toBe('ERR_KEY_UNKNOWN')
    expect(await outcomeOf(subject.open().unwrap(old, options))).toBe('OK')
  })

  test('is another one for a key of the same id in another instance', async () => {
    const { id } = subject.key
    const instanceId = subject.fake.addInstance()
    subject.fake.addKey({ id }, instanceId)
    const [here, there] = [wrapper, subject.open({ instanceId })]
    expect(await there.currentKeyId(options)).not.toBe(await here.currentKeyId(options))
    const wrapped = await here.wrap(dek, options)
    const before = subject.fake.kmsRequests.length
    expect(await outcomeOf(there.unwrap(wrapped, options))).toBe('ERR_KEY_UNKNOWN')
    expect(subject.fake.kmsRequests.length).toBe(before)
  })

  test('is another one with other additional data: what does not open is unknown, not damaged', async () => {
    const bound = subject.open({ aad: ['a', 'b'] })
    const wrapped = await bound.wrap(dek, options)
    for (const aad of [['a'], ['b', 'a'], ['ab'], undefined]) {
      const other = subject.open(aad === undefined ? {} : { aad })
      expect(await outcomeOf(other.unwrap(wrapped, options))).toBe('ERR_KEY_UNKNOWN')
    }
    expect(await outcomeOf(subject.open({ aad: ['a', 'b'] }).unwrap(wrapped, options))).toBe('OK')
  })

  test('names no version where the service tells none, in every answer', async () => {
    subject.fake.tellsVersions = false
    const wrapped = await wrapper.wrap(dek, options)
    expect(wrapped.keyId).toBe(keyIdOf('ibm', [subject.fake.instanceId, subject.key.id]))
    rotate()
    expect(await wrapper.currentKeyId(options)).toBe(wrapped.keyId)
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('OK')
  })

  test('moves when the service begins to tell versions, and what was wrapped before still opens', async () => {
    subject.fake.tellsVersions = false
    const old = await wrapper.wrap(dek, options)
    subject.fake.tellsVersions = true
    expect((await wrapper.wrap(dek, options)).keyId).toBe(old.keyId)
    expect(await wrapper.currentKeyId(options)).not.toBe(old.keyId)
    const fresh = await wrapper.wrap(dek, options)
    expect(fresh.keyId).toBe(await wrapper.currentKeyId(options))
    for (const wrapped of [old, fresh]) expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('OK')
  })
})

describe('what a rotated key answers to unwrap', () => {
  const plaintext = dek.toString('base64')
  const rewrapped = { plaintext, ciphertext: 'QUJD' }

  test.each([
    ['no version', { plaintext }],
    [
      'the newest one for both',
      { ...rewrapped, keyVersion: { id: 'new' }, rewrappedKeyVersion: { id: 'new' } },
    ],
    ['one version and two ciphertexts', { ...rewrapped, keyVersion: { id: 'new' } }],
  ])('opens an old value although it does not tell which version it was: %s', async (_name, body) => {
    const wrapped = await wrapper.wrap(dek, options)
    subject.fake.server.failNext({ status: 200, body })
    expect(Buffer.from(await wrapper.unwrap(wrapped, options)).equals(dek)).toBe(true)
  })

  test('is believed where it tells another version than the key id', async () => {
    const wrapped = await wrapper.wrap(dek, options)
    const body = { ...rewrapped, keyVersion: { id: 'old' }, rewrappedKeyVersion: { id: 'new' } }
    subject.fake.server.failNext({ status: 200, body })
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('ERR_DECRYPTION_FAILED')
  })
})

describe('an unwrapped DEK is refused', () => {
  test('when its bytes belong to another version than the key id says', async () => {
    const old = await wrapper.wrap(dek, options)
    rotate()
    const fresh = await wrapper.wrap(dek, options)
    for (const [bytes, keyId] of [
      [old.bytes, fresh.keyId],
      [fresh.bytes, old.keyId],
    ] as const) {
      expect(await outcomeOf(wrapper.unwrap({ bytes, keyId }, options))).toBe('ERR_DECRYPTION_FAILED')
    }
  })

  test.each([0, 16, 31, 33])('when it is no DEK: %i bytes', async (length) => {
    const wrapped = await wrapper.wrap(dek, options)
    const plaintext = Buffer.alloc(length).toString('base64')
    subject.fake.server.failNext({ status: 200, body: { plaintext } })
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('ERR_DECRYPTION_FAILED')
  })

  test.each([{ plaintext: 'AA=' }, { plaintext: 7 }, { ciphertext: 'QUJD' }])(
    'as no answer of the service: %j',
    async (body) => {
      const wrapped = await wrapper.wrap(dek, options)
      subject.fake.server.failNext({ status: 200, body })
      expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('ERR_BACKEND_RESPONSE')
    },
  )

  test('before it is sent, when its form is never made', async () => {
    const { keyId } = await wrapper.wrap(dek, options)
    const before = subject.fake.kmsRequests.length
    for (const bytes of [Buffer.alloc(0), Buffer.of(1), Buffer.of(9, 1), Buffer.from('\x02QUJD')]) {
      expect(await outcomeOf(wrapper.unwrap({ bytes, keyId }, options))).toBe('ERR_DECRYPTION_FAILED')
    }
    expect(subject.fake.kmsRequests.length).toBe(before)
  })
})

describe('an answer to wrap is refused', () => {
  test.each([
    ['without a ciphertext', { keyVersion: { id: 'v' } }],
    ['without the version that the metadata tells', { ciphertext: 'QUJD' }],
    ['with a version that is no id', { ciphertext: 'QUJD', keyVersion: { id: 'a\nb' } }],
    ['with a ciphertext that is too long', { ciphertext: 'x'.repeat(900), keyVersion: { id: 'v' } }],
  ])('%s', async (_name, body) => {
    await wrapper.currentKeyId(options)
    subject.fake.server.failNext({ status: 200, body })
    expect(await outcomeOf(wrapper.wrap(dek, options))).toBe('ERR_BACKEND_RESPONSE')
  })

  test('metadata of no key or of two are refused as well', async () => {
    for (const body of [{ resources: [] }, { resources: [{}] }, { resources: [{ id: 'a', state: 1 }, {}] }]) {
      subject.fake.server.failNext({ status: 200, body }, 1, ({ url }) => url.pathname.endsWith('/metadata'))
      expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('ERR_BACKEND_RESPONSE')
    }
  })
})

describe('the state of the key', () => {
  test.each([
    [0, 'ERR_KEY_UNUSABLE', 'ERR_KEY_DISABLED'],
    [2, 'ERR_KEY_DISABLED', 'ERR_KEY_DISABLED'],
    [5, 'ERR_KEY_PENDING_DELETION', 'ERR_KEY_PENDING_DELETION'],
  ])('%i: nothing works, and it works again afterwards', async (state, onLook, onUse) => {
    const wrapped = await wrapper.wrap(dek, options)
    subject.key.state = state
    expect(await outcomeOf(wrapper.currentKeyId(options))).toBe(onLook)
    expect(await outcomeOf(wrapper.wrap(dek, options))).toBe(onUse)
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe(onUse)
    expect(await outcomeOf(subject.open().unwrap(wrapped, options))).toBe(onUse)
    subject.key.state = 1
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('OK')
  })

  test.each([{ state: 5 }, { state: 1, deleted: true }])(
    'deleted, however it is told: %j',
    async (change) => {
      const body = { resources: [{ id: subject.key.id, extractable: false, ...change }] }
      await wrapper.currentKeyId(options)
      subject.fake.server.failNext({ status: 200, body })
      expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('ERR_KEY_PENDING_DELETION')
    },
  )

  test('expired: it opens and does not seal, so it is good enough for a key that is not primary', async () => {
    const wrapped = await wrapper.wrap(dek, options)
    subject.key.state = 3
    expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('ERR_KEY_UNUSABLE')
    expect(await outcomeOf(wrapper.wrap(dek, options))).toBe('ERR_KEY_UNUSABLE')
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('OK')
    const old = subject.open({}, { isPrimary: false })
    expect(await outcomeOf(old.currentKeyId(options))).toBe('OK')
    expect(await outcomeOf(old.unwrap(wrapped, options))).toBe('OK')
  })

  test('a standard key is none that wraps', async () => {
    subject.key.extractable = true
    expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('ERR_KEY_UNUSABLE')
    expect(await outcomeOf(wrapper.wrap(dek, options))).toBe('ERR_KEY_UNUSABLE')
  })

  test('a key that was purged, or that is in another ring, is not found', async () => {
    expect(await outcomeOf(subject.open({ keyRing: 'other' }).wrap(dek, options))).toBe('ERR_KEY_NOT_FOUND')
    const wrapped = await wrapper.wrap(dek, options)
    subject.fake.removeKey(subject.key)
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('ERR_KEY_NOT_FOUND')
  })

  test('a network that the instance does not let in is told apart from missing rights', async () => {
    subject.fake.refusesNetwork = true
    expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('ERR_ACCESS_DENIED')
  })
})
