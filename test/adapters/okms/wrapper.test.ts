/** What goes over the wire to OVHcloud KMS, and how its keys become key ids. */
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keyIdOf } from '../../../src/adapters/backends/identity.js'
import { DEK_BYTES, type KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { okmsError } from '../../support/fakes/okms.js'
import { byLabel, OkmsSubject } from '../../support/okms_subject.js'

const options = { deadlineMs: Infinity }
const dek = Buffer.alloc(DEK_BYTES, 0x5a)

let subject: OkmsSubject
let wrapper: KeyWrapper

beforeEach(async () => {
  subject = await OkmsSubject.start()
  wrapper = subject.open()
})
afterEach(async () => subject.close())

const asked = () => subject.fake.server.requests.map(({ method, url }) => `${method} ${url.pathname}`)

describe('on the wire', () => {
  test('a wrap, an unwrap and a look cost one call each, and the first of all one look more', async () => {
    const wrapped = await wrapper.wrap(dek, options)
    await wrapper.unwrap(wrapped, options)
    await wrapper.currentKeyId(options)
    const path = `/api/${subject.fake.okmsId}/v1/servicekey/${subject.key.id}`
    expect(asked()).toEqual([`GET ${path}`, `POST ${path}/encrypt`, `POST ${path}/decrypt`, `GET ${path}`])
  })

  test('a context goes along both ways, and nothing is sent that is not set', async () => {
    for (const [change, more] of [
      [{}, []],
      [{ context: 'ä' }, ['context']],
    ] as const) {
      const bound = subject.open(change)
      await bound.unwrap(await bound.wrap(dek, options), options)
      const [encrypted, decrypted] = subject.fake.server.requests
        .slice(-2)
        .map(({ body }) => JSON.parse(body.toString()) as Record<string, unknown>)
      expect(Object.keys(encrypted!)).toEqual(['plaintext', ...more])
      expect(encrypted!['plaintext']).toBe(dek.toString('base64'))
      expect(Object.keys(decrypted!)).toEqual(['ciphertext', ...more])
      expect(decrypted!['ciphertext']).toMatch(/^ey[\w-]+(\.[\w-]+){4}$/)
    }
  })

  test('a base URL that ends in a slash is the same service', async () => {
    const { keyId } = await wrapper.wrap(dek, options)
    expect(await subject.open({ url: `${subject.fake.server.url}/` }).currentKeyId(options)).toBe(keyId)
  })
})

describe('the key id', () => {
  test('is made of the domain, the key’s own id and the context; there are no versions', async () => {
    const kek = [subject.fake.okmsId, subject.key.id]
    expect(await wrapper.currentKeyId(options)).toBe(keyIdOf('okms', kek))
    expect(await subject.open(byLabel()).currentKeyId(options)).toBe(keyIdOf('okms', kek))
    expect(await subject.open({ context: 'c' }).currentKeyId(options)).toBe(keyIdOf('okms', [...kek, 'c']))
  })

  test('is another one with another context: what does not open is unknown, not damaged', async () => {
    const wrapped = await subject.open({ context: 'a' }).wrap(dek, options)
    const before = asked().filter((one) => one.endsWith('/decrypt')).length
    for (const change of [{}, { context: 'b' }]) {
      expect(await outcomeOf(subject.open(change).unwrap(wrapped, options))).toBe('ERR_KEY_UNKNOWN')
    }
    expect(asked().filter((one) => one.endsWith('/decrypt')).length).toBe(before)
  })

  test('is the same where the service answers with capitals', async () => {
    const before = await wrapper.currentKeyId(options)
    const { id, name, type, operations } = subject.key
    subject.fake.server.failNext({ status: 200, body: { id: id.toUpperCase(), name, type, operations } })
    expect(await wrapper.currentKeyId(options)).toBe(before)
  })

  test('does not move when the key gets another name', async () => {
    const before = await wrapper.currentKeyId(options)
    subject.key.name = 'renamed'
    expect(await wrapper.currentKeyId(options)).toBe(before)
  })
})

describe('a label', () => {
  test('that moves to another key moves the key id; old values need an entry with the id of the old key', async () => {
    const labelled = subject.open(byLabel())
    const old = await labelled.wrap(dek, options)
    subject.key.name = 'former'
    const next = subject.fake.addKey()
    expect((await labelled.wrap(dek, options)).keyId).toBe(old.keyId)
    const moved = await labelled.currentKeyId(options)
    expect(moved).toBe(keyIdOf('okms', [subject.fake.okmsId, next.id]))
    expect((await labelled.wrap(dek, options)).keyId).toBe(moved)
    expect(await outcomeOf(labelled.unwrap(old, options))).toBe('ERR_KEY_UNKNOWN')
    expect(await outcomeOf(wrapper.unwrap(old, options))).toBe('OK')
  })

  test('that moved because the old key was deactivated is followed by the next call', async () => {
    const labelled = subject.open(byLabel())
    const old = await labelled.wrap(dek, options)
    subject.key.state = 'deactivated'
    subject.fake.addKey()
    expect(await outcomeOf(labelled.wrap(dek, options))).toBe('ERR_KEY_DISABLED')
    expect((await labelled.wrap(dek, options)).keyId).not.toBe(old.keyId)
  })

  test('is found on any page, in exactly its letters', async () => {
    for (let i = 0; i < 250; i += 1) subject.fake.addKey({ name: `kubernetes${i}` })
    const last = subject.fake.addKey({ name: 'Kubernetes' })
    const keyId = await subject.open(byLabel('Kubernetes')).currentKeyId(options)
    expect(keyId).toBe(keyIdOf('okms', [subject.fake.okmsId, last.id]))
    expect(asked().length).toBe(3)
  })

  test('on several active keys is refused with their ids; on inactive ones beside one it does no harm', async () => {
    subject.fake.addKey({ state: 'deactivated' })
    subject.fake.addKey({ state: 'destroyed' })
    expect(await outcomeOf(subject.open(byLabel()).currentKeyId(options))).toBe('OK')
    const second = subject.fake.addKey()
    const call = subject.open(byLabel()).currentKeyId(options)
    await expect(call).rejects.toMatchObject({ code: 'ERR_KEY_UNUSABLE' })
    await expect(call).rejects.toThrow(`2 active keys`)
    await expect(call).rejects.toThrow(`${subject.key.id}, ${second.id}`)
  })

  test('on a key that two pages list, as pages do when a key is made meanwhile, is on one key', async () => {
    const { id, name, type, operations } = subject.key
    const listed = { id, name, type, operations, attributes: { state: 'active' } }
    const body = { objects_list: [listed], is_truncated: true, continuation_token: '0' }
    subject.fake.server.failNext({ status: 200, body })
    expect(await outcomeOf(subject.open(byLabel()).currentKeyId(options))).toBe('OK')
    expect(asked()).toHaveLength(2)
  })

  test('does not take a key that is listed as active and says itself that it is not', async () => {
    const { id, name, type, operations } = subject.key
    const listed = { id, name, type, operations, attributes: { state: 'deactivated' } }
    const body = { objects_list: [listed], is_truncated: false, continuation_token: 'x' }
    subject.fake.server.failNext({ status: 200, body }, Infinity)
    expect(await outcomeOf(subject.open(byLabel()).currentKeyId(options))).toBe('ERR_KEY_DISABLED')
    body.objects_list.push({ ...listed, id: randomUUID(), attributes: { state: 'active' } })
    expect(await outcomeOf(subject.open(byLabel()).currentKeyId(options))).toBe('OK')
  })

  test('on no key is not found; on a deactivated one alone it says which', async () => {
    expect(await outcomeOf(subject.open(byLabel('absent')).currentKeyId(options))).toBe('ERR_KEY_NOT_FOUND')
    subject.key.state = 'deactivated'
    const call = subject.open(byLabel()).currentKeyId(options)
    await expect(call).rejects.toMatchObject({ code: 'ERR_KEY_DISABLED' })
    await expect(call).rejects.toThrow(subject.key.id)
  })

  test.each([
    ['no keys', {}],
    ['keys that are none', { objects_list: [7], is_truncated: false }],
    ['the same page for ever', { objects_list: [], is_truncated: true, continuation_token: 'x' }],
    ['more pages and no way to them', { objects_list: [], is_truncated: true }],
  ])('is not looked for in a list that is none: %s', async (_name, body) => {
    subject.fake.server.failNext({ status: 200, body }, Infinity)
    expect(await outcomeOf(subject.open(byLabel()).currentKeyId(options))).toBe('ERR_BACKEND_RESPONSE')
    expect(asked().length).toBeLessThan(4)
  })
})

describe('the state of the key', () => {
  test.each([
    ['pre_active', 'ERR_KEY_DISABLED', /okms keys activate/],
    ['deactivated', 'ERR_KEY_DISABLED', /okms keys activate/],
    ['compromised', 'ERR_KEY_UNUSABLE', /new key/],
    ['destroyed', 'ERR_KEY_NOT_FOUND', /for ever/],
    ['destroyed_compromised', 'ERR_KEY_NOT_FOUND', /for ever/],
  ])('%s: nothing works, says so, and works again afterwards', async (state, code, said) => {
    const wrapped = await wrapper.wrap(dek, options)
    subject.key.state = state
    for (const call of [
      async () => wrapper.currentKeyId(options),
      async () => wrapper.wrap(dek, options),
      async () => wrapper.unwrap(wrapped, options),
      async () => subject.open().unwrap(wrapped, options),
    ]) {
      const failed = call()
      await expect(failed).rejects.toMatchObject({ code })
      await expect(failed).rejects.toThrow(said)
    }
    subject.key.state = 'active'
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('OK')
  })

  test('deactivated: where the service still opens with it, a key that is not primary does', async () => {
    const wrapped = await wrapper.wrap(dek, options)
    subject.key.state = 'deactivated'
    subject.fake.deactivatedOpens = true
    const old = subject.open({}, { isPrimary: false })
    expect(await outcomeOf(old.currentKeyId(options))).toBe('OK')
    expect(await outcomeOf(old.unwrap(wrapped, options))).toBe('OK')
    expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('ERR_KEY_DISABLED')
  })

  test.each(['constructor', 'toString', '__proto__'])(
    'that nobody knows is no reason to refuse: %s',
    async (state) => {
      subject.key.state = state
      expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('OK')
    },
  )

  test('that the service does not tell is no reason to refuse', async () => {
    subject.key.state = undefined
    expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('OK')
    const wrapped = await wrapper.wrap(dek, options)
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('OK')
  })

  test.each([
    [{ type: 'RSA', size: 2048 }, /oct/],
    [{ operations: ['encrypt'] }, /may not decrypt/],
    [{ operations: ['wrapKey', 'unwrapKey'] }, /may not encrypt and decrypt/],
  ])('a key that cannot do it is refused before anything is sent to it: %j', async (change, said) => {
    const key = subject.fake.addKey(change)
    const call = subject.open({ keyId: key.id }).currentKeyId(options)
    await expect(call).rejects.toMatchObject({ code: 'ERR_KEY_UNUSABLE' })
    await expect(call).rejects.toThrow(said)
  })

  test('a key that is not there is not found', async () => {
    expect(await outcomeOf(subject.open({ keyId: randomUUID() }).wrap(dek, options))).toBe(
      'ERR_KEY_NOT_FOUND',
    )
  })
})

describe('an unwrapped DEK is refused', () => {
  test('as bad data only after the key was looked at, and the key stays good', async () => {
    const wrapped = await wrapper.wrap(dek, options)
    const bytes = Buffer.from(wrapped.bytes)
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
    expect(await outcomeOf(wrapper.unwrap({ ...wrapped, bytes }, options))).toBe('ERR_DECRYPTION_FAILED')
    expect(
      asked()
        .slice(-2)
        .map((one) => one.split(' ')[0]),
    ).toEqual(['POST', 'GET'])
    expect(await outcomeOf(wrapper.unwrap(wrapped, options))).toBe('OK')
  })

  test('not at all while the key cannot be looked at: that is the service’s fault', async () => {
    const wrapped = await wrapper.wrap(dek, options)
    const bytes = Buffer.from(wrapped.bytes)
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
    subject.fake.server.failNext(okmsError(503, 'unavailable'), 1, ({ method }) => method === 'GET')
    expect(await outcomeOf(wrapper.unwrap({ ...wrapped, bytes }, options))).toBe('ERR_BACKEND_UNAVAILABLE')
  })

  test('when another key of the domain has made it', async () => {
    const other = subject.fake.addKey({ name: 'other' })
    const { bytes } = await subject.open({ keyId: other.id }).wrap(dek, options)
    const keyId = await wrapper.currentKeyId(options)
    expect(await outcomeOf(wrapper.unwrap({ keyId, bytes }, options))).toBe('ERR_DECRYPTION_FAILED')
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
    const before = asked().length
    for (const bytes of [Buffer.alloc(0), Buffer.of(1), Buffer.of(9, 1), Buffer.alloc(640, 1)]) {
      expect(await outcomeOf(wrapper.unwrap({ bytes, keyId }, options))).toBe('ERR_DECRYPTION_FAILED')
    }
    expect(asked().length).toBe(before)
  })
})

describe('an answer is refused', () => {
  test.each([{}, { ciphertext: 7 }, { ciphertext: 'QUJD' }, { ciphertext: 'x'.repeat(900) }])(
    'to encrypt: %j',
    async (body) => {
      await wrapper.currentKeyId(options)
      subject.fake.server.failNext({ status: 200, body })
      expect(await outcomeOf(wrapper.wrap(dek, options))).toBe('ERR_BACKEND_RESPONSE')
    },
  )

  test('to a look: another key, or no key', async () => {
    for (const body of [{}, { id: 'x', name: 'kubernetes' }, { id: randomUUID(), name: 'kubernetes' }]) {
      subject.fake.server.failNext({ status: 200, body })
      expect(await outcomeOf(wrapper.currentKeyId(options))).toBe('ERR_BACKEND_RESPONSE')
    }
  })
})
