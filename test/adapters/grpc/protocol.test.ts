/** The services as the .proto files describe them, and what their serializers promise. */
import type protobuf from 'protobufjs'
import { describe, expect, test } from 'vitest'
import * as v1beta1 from '../../../src/adapters/grpc/messages_v1beta1.js'
import * as v2 from '../../../src/adapters/grpc/messages_v2.js'
import { kmsV1beta1Service, kmsV2Service, malformedRequest } from '../../../src/adapters/grpc/protocol.js'
import { bytesField } from '../../support/protobuf.js'
import { rootOf, subjects } from './wire/reference.js'

interface Method {
  readonly path: string
  readonly requestStream: boolean
  readonly responseStream: boolean
  readonly requestDeserialize: (bytes: Buffer) => object | symbol
  readonly responseDeserialize: (bytes: Buffer) => object
}

const services = Object.entries<Readonly<Record<string, Method>>>({
  v2: kmsV2Service,
  v1beta1: kmsV1beta1Service,
})
const broken = Buffer.from([0x0a, 0xff])

describe.each(services)('proto/%s/kms.proto', (api, service) => {
  const described = rootOf(api).lookupService(`${api}.KeyManagementService`)

  test('has these methods, on these paths, and no streams', () => {
    const methods = Object.entries(service).map(([name, { path, requestStream, responseStream }]) => [
      name,
      path,
      requestStream,
      responseStream,
    ])
    expect(methods).toEqual(
      described.methodsArray.map(({ name, requestStream = false, responseStream = false }) => [
        name,
        `/${api}.KeyManagementService/${name}`,
        requestStream,
        responseStream,
      ]),
    )
  })

  test('has these messages, with fields of these names, numbers and types', () => {
    const { nestedArray } = rootOf(api).lookup(api) as protobuf.Namespace
    const theirs = nestedArray.filter((one): one is protobuf.Type => 'fieldsArray' in one)
    const ours = subjects.filter(({ name }) => name.startsWith(`${api}.`))
    expect(Object.fromEntries(ours.map(({ name, ours: { fields } }) => [name, typed(fields)]))).toEqual(
      Object.fromEntries(theirs.map((type) => [`${api}.${type.name}`, describedFields(type)])),
    )
  })

  test('says which messages each method takes and answers', () => {
    const nothing = Buffer.alloc(0)
    const names = (message: object | symbol) => Object.keys(message)
    const fieldsOf = (message: string) =>
      rootOf(api)
        .lookupType(`${api}.${message}`)
        .fieldsArray.map(({ name }) => name)
    for (const [name, { requestDeserialize, responseDeserialize }] of Object.entries(service)) {
      const { requestType, responseType } = described.methods[name]!
      expect(names(requestDeserialize(nothing))).toEqual(fieldsOf(requestType))
      expect(names(responseDeserialize(nothing))).toEqual(fieldsOf(responseType))
    }
  })

  test.each(Object.entries(service))(
    '%s throws nothing for a request that is no message',
    (_name, method) => {
      expect(method.requestDeserialize(broken)).toBe(malformedRequest)
    },
  )
})

describe('the bytes of a message', () => {
  test('hold no plaintext of a request any more when it was wiped, and all the rest', () => {
    for (const [read, field] of [
      [v2.encryptRequest, 1],
      [v1beta1.encryptRequest, 2],
    ] as const) {
      const bytes = Buffer.concat([bytesField(field, 'plaintext'), bytesField(3 - field, 'text')])
      const before = Buffer.from(bytes)
      const message = read.decode(bytes)
      const plaintext = 'plain' in message ? message.plain : message.plaintext
      plaintext.fill(0)
      expect(bytes.toString('latin1')).toBe(before.toString('latin1').replace('plaintext', '\0'.repeat(9)))
    }
  })

  test('of an answer are made of a plaintext, which is wiped then', () => {
    const [first, second] = [Buffer.from('plaintext'), Buffer.from('plaintext')]
    const { Decrypt: decryptV2 } = kmsV2Service
    const { Decrypt: decryptV1 } = kmsV1beta1Service
    expect(decryptV2.responseSerialize({ plaintext: first }).toString('latin1')).toBe('\n\tplaintext')
    expect(decryptV1.responseSerialize({ plain: second }).toString('latin1')).toBe('\n\tplaintext')
    expect([first, second].map(String)).toEqual(['\0'.repeat(9), '\0'.repeat(9)])
  })

  test('are made of nothing else that is changed: a ciphertext may still be in use', () => {
    const ciphertext = Buffer.from('sealed')
    kmsV2Service.Encrypt.responseSerialize({ ciphertext, keyId: 'k', annotations: {} })
    kmsV1beta1Service.Encrypt.responseSerialize({ cipher: ciphertext })
    kmsV2Service.Encrypt.requestSerialize({ plaintext: ciphertext, uid: '' })
    expect(ciphertext.toString()).toBe('sealed')
  })

  test('do not tell that there are no annotations', () => {
    const answer = { ciphertext: Buffer.from('c'), keyId: 'k', annotations: {} }
    expect(kmsV2Service.Encrypt.responseSerialize(answer).toString('latin1')).toBe('\n\x01c\x12\x01k')
  })
})

function typed(fields: (typeof subjects)[number]['ours']['fields']) {
  return Object.entries(fields).map(([name, { number, type }]) => [
    name,
    number,
    type === 'secret' ? 'bytes' : type,
  ])
}

function describedFields(type: protobuf.Type) {
  return type.fieldsArray.map((field) => {
    const isMap = 'keyType' in field && field.keyType === 'string' && field.type === 'bytes'
    return [field.name, field.id, isMap ? 'map' : `${field.repeated ? 'repeated ' : ''}${field.type}`]
  })
}
