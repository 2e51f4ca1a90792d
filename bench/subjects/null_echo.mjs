/** The floor: gRPC and the fields of the message, nothing else. */
import { fieldsOf, message } from '../lib/kms_messages.mjs'
import { serve } from './grpc_server.mjs'

const KEY_ID = 'null:aaaaaaaaaaaaaaaaaaaaaaaaaa.aaaaaaaaaaaaaaaaaaaaaaaaaa'

serve({
  v2Status: (_request, answer) => answer(message([1, 'v2'], [2, 'ok'], [3, KEY_ID])),
  v2Encrypt: (request, answer) => answer(message([1, fieldsOf(request)[1]], [2, KEY_ID])),
  v2Decrypt: (request, answer) => answer(message([1, fieldsOf(request)[1]])),
  v1Encrypt: (request, answer) => answer(message([1, fieldsOf(request)[2]])),
  v1Decrypt: (request, answer) => answer(message([1, fieldsOf(request)[2]])),
})
