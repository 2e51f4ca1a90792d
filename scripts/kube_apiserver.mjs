// The part that kube-apiserver plays against a KMS v2 plugin, for the demonstration of npm run quickstart.
import { createCipheriv, createDecipheriv, createHmac, randomBytes, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { ROOT, say } from './setup.mjs'

const ETCD_KEY = '/registry/secrets/default/quickstart'
const SECRET = JSON.stringify({ kind: 'Secret', stringData: { password: 'correct horse battery staple' } })
const HKDF_SEED = 1

/** Answers 'done' when a value went to its stored form and back. */
export async function playKubeApiserver(socket, providerName) {
  const kms = connect(socket)
  try {
    const status = await untilHealthy(kms)
    say(`\nStatus    healthz ${status.healthz}, version ${status.version}`)
    say(`          key id ${status.keyId}`)

    // A seed for the keys of many values; kube-apiserver asks for it once per start and per rotation.
    const seed = randomBytes(32)
    const encrypted = await kms.call('Encrypt', { plaintext: seed, uid: randomUUID() })
    if (encrypted.keyId !== status.keyId) throw new Error('Encrypt and Status name different keys')
    say(`Encrypt   ${seed.length} bytes of DEK seed -> ${encrypted.ciphertext.length} bytes (at most 1024)`)

    const value = store(providerName, encrypted, seed)
    say(`etcd      ${ETCD_KEY} =`)
    say(`          ${printable(value.subarray(0, 48))}… (${value.length} bytes)`)

    const again = await kms.call('Decrypt', { ...encrypted, uid: randomUUID() })
    if (!again.plaintext.equals(seed)) throw new Error('Decrypt answered another seed')
    say(`Decrypt   ${encrypted.ciphertext.length} bytes -> the same ${again.plaintext.length} bytes of seed`)
    say(
      `Secret    read back: ${open(value, again.plaintext) === SECRET ? 'equal to what was written' : 'DIFFERENT'}`,
    )
    return 'done'
  } finally {
    kms.close()
  }
}

function connect(socket) {
  const definition = loadSync('v2/kms.proto', {
    includeDirs: [join(ROOT, 'proto')],
    defaults: true,
    bytes: Buffer,
  })
  const { KeyManagementService } = grpc.loadPackageDefinition(definition).v2
  const options = {
    'grpc.default_authority': 'localhost',
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 200,
  }
  const client = new KeyManagementService(`unix://${socket}`, grpc.credentials.createInsecure(), options)
  return {
    call: (method, request) =>
      new Promise((resolve, reject) => {
        const answer = (error, response) => (error === null ? resolve(response) : reject(error))
        client[method](request, { deadline: Date.now() + 3000 }, answer)
      }),
    close: () => client.close(),
  }
}

async function untilHealthy(kms) {
  const giveUpAt = Date.now() + 20_000
  for (;;) {
    try {
      const status = await kms.call('Status', {})
      if (status.healthz === 'ok') return status
      throw new Error(`healthz is ${status.healthz}`)
    } catch (error) {
      if (Date.now() > giveUpAt) throw error
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

/** `k8s:enc:kms:v2:<name>:` and a v2.EncryptedObject, as kube-apiserver 1.29 and later write it. */
function store(name, { ciphertext, keyId }, seed) {
  const info = randomBytes(32)
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', valueKey(seed, info), nonce).setAAD(Buffer.from(ETCD_KEY))
  const sealed = Buffer.concat([info, nonce, cipher.update(SECRET), cipher.final(), cipher.getAuthTag()])
  return Buffer.concat([
    Buffer.from(`k8s:enc:kms:v2:${name}:`),
    field(1, sealed),
    field(2, Buffer.from(keyId)),
    field(3, ciphertext),
    Buffer.from([5 << 3, HKDF_SEED]),
  ])
}

/** Reads what {@link store} wrote: the sealed bytes are its first field. */
function open(value, seed) {
  const start = value.indexOf(':', 'k8s:enc:kms:v2:'.length) + 2
  const { length, next } = varint(value, start)
  const sealed = value.subarray(next, next + length)
  const key = valueKey(seed, sealed.subarray(0, 32))
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(32, 44), { authTagLength: 16 })
  decipher.setAAD(Buffer.from(ETCD_KEY)).setAuthTag(sealed.subarray(-16))
  return Buffer.concat([decipher.update(sealed.subarray(44, -16)), decipher.final()]).toString()
}

/** One block of HKDF-Expand with SHA-256. */
function valueKey(seed, info) {
  return createHmac('sha256', seed).update(info).update(Buffer.of(1)).digest()
}

function field(number, bytes) {
  const length = []
  for (let rest = bytes.length; ; rest >>>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest)
    if (rest <= 127) break
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes])
}

function varint(bytes, at) {
  let length = 0
  for (let shift = 0; ; shift += 7, at += 1) {
    length |= (bytes[at] & 127) << shift
    if (bytes[at] < 128) return { length, next: at + 1 }
  }
}

function printable(bytes) {
  return bytes.toString('latin1').replace(/[^\x20-\x7e]/g, '.')
}
