/**
 * A null subject that misbehaves at one Encrypt: `node server.mjs SOCKET NUMBER DEED`. `stall` answers nothing for
 * STALL_MS, `die` ends the process.
 */
import process from 'node:process'
import { fieldsOf, message } from '../../bench/lib/kms_messages.mjs'
import { serve } from '../../bench/subjects/grpc_server.mjs'

const STALL_MS = 300

const [, , , number, deed] = process.argv
let calls = 0

serve({
  v2Status: (_request, answer) => answer(message([1, 'v2'], [2, 'ok'], [3, 'key'])),
  v2Encrypt: (request, answer) => {
    calls += 1
    if (calls === Number(number)) {
      if (deed === 'die') process.kill(process.pid, 'SIGKILL')
      if (deed === 'stall') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STALL_MS)
    }
    answer(message([1, fieldsOf(request)[1]], [2, 'key']))
  },
})
