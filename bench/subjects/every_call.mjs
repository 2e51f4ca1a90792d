/** As plugins without a DEK of their own do it: each Encrypt and Decrypt is a request to the KMS (`process.argv[3]`). */
import { Agent, request as httpRequest } from 'node:http'
import { fieldsOf, message } from '../lib/kms_messages.mjs'
import { serve } from './grpc_server.mjs'

const KEY_ID = 'null:aaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaa'
const agent = new Agent({ keepAlive: true, maxSockets: 256 })
const kms = new URL(process.argv[3])

function ask(what, body, answered) {
  const sent = httpRequest({
    host: kms.hostname,
    port: kms.port,
    agent,
    method: 'POST',
    path: `/v1/transit/${what}/kek`,
    headers: { 'content-type': 'application/json', 'x-vault-token': 'bench' },
  })
  sent.on('response', (response) => {
    const parts = []
    response.on('data', (part) => parts.push(part))
    response.on('end', () => answered(JSON.parse(Buffer.concat(parts).toString()).data))
  })
  sent.end(JSON.stringify(body))
}

const seal = (plaintext, answered) =>
  ask('encrypt', { plaintext: plaintext.toString('base64') }, ({ ciphertext }) => answered(ciphertext))
const open = (sealed, answered) =>
  ask('decrypt', { ciphertext: sealed.toString() }, ({ plaintext }) =>
    answered(Buffer.from(plaintext, 'base64')),
  )

serve({
  v2Status: (_request, answer) => answer(message([1, 'v2'], [2, 'ok'], [3, KEY_ID])),
  v2Encrypt: (request, answer) =>
    seal(fieldsOf(request)[1], (sealed) => answer(message([1, sealed], [2, KEY_ID]))),
  v2Decrypt: (request, answer) => open(fieldsOf(request)[1], (plain) => answer(message([1, plain]))),
  v1Encrypt: (request, answer) => seal(fieldsOf(request)[2], (sealed) => answer(message([1, sealed]))),
  v1Decrypt: (request, answer) => open(fieldsOf(request)[2], (plain) => answer(message([1, plain]))),
})
