/**
 * The limit: gRPC, the fields of the message, and one AES-256-GCM under one key that is always there. No format, no
 * key derivation, no log, no metric, no deadline.
 */
import { createCipheriv, createDecipheriv, createSecretKey, randomBytes, randomFillSync } from 'node:crypto'
import { fieldsOf, message } from '../lib/kms_messages.mjs'
import { serve } from './grpc_server.mjs'

const KEY_ID = 'null:aaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaa'
const OPTIONS = { authTagLength: 16 }
const key = createSecretKey(randomBytes(32))
const ivs = Buffer.alloc(12 * 1024)
let ivAt = ivs.length

function seal(plaintext) {
  if (ivAt === ivs.length) {
    randomFillSync(ivs)
    ivAt = 0
  }
  const iv = ivs.subarray(ivAt, (ivAt += 12))
  const cipher = createCipheriv('aes-256-gcm', key, iv, OPTIONS)
  const ciphertext = cipher.update(plaintext)
  cipher.final()
  return Buffer.concat([iv, ciphertext, cipher.getAuthTag()])
}

function open(sealed) {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12), OPTIONS)
  decipher.setAuthTag(sealed.subarray(-16))
  const plaintext = decipher.update(sealed.subarray(12, -16))
  decipher.final()
  return plaintext
}

serve({
  v2Status: (_request, answer) => answer(message([1, 'v2'], [2, 'ok'], [3, KEY_ID])),
  v2Encrypt: (request, answer) => answer(message([1, seal(fieldsOf(request)[1])], [2, KEY_ID])),
  v2Decrypt: (request, answer) => answer(message([1, open(fieldsOf(request)[1])])),
  v1Encrypt: (request, answer) => answer(message([1, seal(fieldsOf(request)[2])])),
  v1Decrypt: (request, answer) => answer(message([1, open(fieldsOf(request)[2])])),
})
