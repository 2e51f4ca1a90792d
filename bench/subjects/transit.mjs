/**
 * A KMS that takes its time: Vault's Transit API, as much of it as a plugin asks, on loopback. Answers each request
 * after a latency, any number at once. Tells its port on stdout; `GET /bench/counts` answers the requests so far by
 * kind and forgets them, `POST /bench/latency/<ms>` sets the latency, `hang` instead of a number answers nothing.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'

const key = randomBytes(32)
let latencyMs = 0
let counts = {}

const createdAt = new Date().toISOString()
const KEY = {
  ...{ name: 'kek', type: 'aes256-gcm96', derived: false, exportable: false, allow_plaintext_backup: false },
  ...{ deletion_allowed: false, soft_deleted: false, imported_key: false, auto_rotate_period: 0 },
  ...{ latest_version: 1, min_available_version: 0, min_decryption_version: 1, min_encryption_version: 0 },
  ...{
    supports_encryption: true,
    supports_decryption: true,
    supports_signing: false,
    supports_derivation: true,
  },
  keys: { 1: Math.floor(Date.parse(createdAt) / 1000) },
}
const TOKEN = {
  id: 'bench',
  ttl: 0,
  expire_time: null,
  renewable: false,
  policies: ['root'],
  type: 'service',
}

function encrypt({ plaintext }) {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  const sealed = Buffer.concat([
    iv,
    cipher.update(Buffer.from(plaintext, 'base64')),
    cipher.final(),
    cipher.getAuthTag(),
  ])
  return { ciphertext: `vault:v1:${sealed.toString('base64')}`, key_version: 1 }
}

function decrypt({ ciphertext }) {
  const sealed = Buffer.from(ciphertext.slice('vault:v1:'.length), 'base64')
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12))
  decipher.setAuthTag(sealed.subarray(-16))
  const plaintext = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])
  return { plaintext: plaintext.toString('base64') }
}

function answerOf(kind, body) {
  if (kind === 'encrypt') return encrypt(body)
  if (kind === 'decrypt') return decrypt(body)
  return kind === 'keys' ? KEY : TOKEN
}

const server = createServer((request, response) => {
  const parts = []
  request.on('data', (part) => parts.push(part))
  request.on('end', () => {
    const reply = (value) => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(value))
    }
    const [, first, second, kind] = request.url.split('/')
    if (first === 'bench') {
      if (second === 'latency') latencyMs = kind === 'hang' ? Infinity : Number(kind)
      reply(counts)
      if (second === 'counts') counts = {}
      return
    }
    counts[kind] = (counts[kind] ?? 0) + 1
    if (latencyMs === Infinity) return
    const body = parts.length === 0 ? {} : JSON.parse(Buffer.concat(parts).toString())
    const data = () =>
      reply({ request_id: 'bench', lease_duration: 0, renewable: false, data: answerOf(kind, body) })
    if (latencyMs === 0) data()
    else setTimeout(data, latencyMs)
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))
