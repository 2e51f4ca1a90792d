/**
 * Calls PKCS#11 functions one by one, as its parent asks: in a process of its own, since a fault may end it, and in as
 * many threads as the parent names.
 *
 * Usage: fork with the path of the module and serialization `advanced`. Takes { id, thread, name, args }, gives
 * { id, value } or { id, rv, text }.
 */
import { Buffer } from 'node:buffer'
import process from 'node:process'
import { URL } from 'node:url'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import p from 'pkcs11js'

if (isMainThread) {
  const threads = new Map()
  const hire = (name) => {
    const worker = new Worker(new URL(import.meta.url), { argv: process.argv.slice(2) })
    worker.on('message', (answer) => process.send(answer))
    threads.set(name, worker)
    return worker
  }
  process.on('message', ({ thread, ...order }) => (threads.get(thread) ?? hire(thread)).postMessage(order))
  process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
} else {
  const lib = new p.PKCS11()
  lib.load(process.argv[2])
  const more = {
    /** Both calls of an encryption or decryption; `iv` is what stands in the mechanism's buffer afterwards. */
    gcm(way, session, key, { iv, data, room = 256 }) {
      const buffer = Buffer.from(iv)
      const parameter = { type: p.CK_PARAMS_AES_GCM_v240, iv: buffer, ivBits: iv.length * 8, tagBits: 128 }
      lib[`C_${way}Init`](session, { mechanism: p.CKM_AES_GCM, parameter }, key)
      const out = lib[`C_${way}`](session, data, Buffer.alloc(room))
      return { out, iv: buffer }
    },
    find(session, template, count = 10) {
      lib.C_FindObjectsInit(session, template)
      try {
        return lib.C_FindObjects(session, count)
      } finally {
        lib.C_FindObjectsFinal(session)
      }
    },
  }
  parentPort.on('message', ({ id, name, args }) => {
    try {
      const given = args.map(withBuffers)
      parentPort.postMessage({ id, value: name in more ? more[name](...given) : lib[name](...given) })
    } catch (error) {
      // Some functions of pkcs11js throw a plain Error("CKR_X:50").
      const rv = error.code ?? Number(/CKR_[A-Z0-9_]+:(\d+)/.exec(error.message)?.[1])
      parentPort.postMessage({ id, rv, text: error.message })
    }
  })
}

/** A message turns every Buffer into a Uint8Array. */
function withBuffers(value) {
  if (value instanceof Uint8Array) return Buffer.from(value)
  if (Array.isArray(value)) return value.map(withBuffers)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withBuffers(inner)]))
}
