/**
 * The device itself: the PKCS#11 calls that one unwrap by the plugin takes, C_DecryptInit and C_Decrypt with AES-GCM,
 * by threads with a session each; no gRPC, no child process, no messages.
 *
 * `node pkcs11_limit.mjs '{module, tokenLabel, pin, label, threads}'`, then a line `{threads, durationMs}` on stdin for
 * each measurement; answers `{calls, seconds, latencyMs}` a line each, the first `{}` when all threads are ready.
 */
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import p from 'pkcs11js'
import { quantiles } from '../client/quantiles.mjs'

if (isMainThread) await lead(JSON.parse(process.argv[2]))
else work()

async function lead({ threads, ...where }) {
  const hire = async (isFirst) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { ...where, isFirst } })
    await next(worker)
    return worker
  }
  // The first logs the process in.
  const workers = [await hire(true)]
  const others = Array.from({ length: threads - 1 }, async () => hire(false))
  workers.push(...(await Promise.all(others)))
  process.stdout.write('{}\n')
  for await (const line of createInterface({ input: process.stdin })) {
    const wanted = JSON.parse(line)
    const chosen = workers.slice(0, wanted.threads)
    const startMs = performance.now()
    const samples = await Promise.all(
      chosen.map(async (worker) => {
        worker.postMessage(wanted.durationMs)
        return next(worker)
      }),
    )
    const seconds = (performance.now() - startMs) / 1000
    const latenciesMs = samples.flatMap((sample) => [...sample])
    const answer = { calls: latenciesMs.length, seconds, latencyMs: quantiles(latenciesMs) }
    process.stdout.write(`${JSON.stringify(answer)}\n`)
  }
  process.exit(0)
}

async function next(worker) {
  return new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
}

function work() {
  const { module, tokenLabel, pin, label, isFirst } = workerData
  const lib = new p.PKCS11()
  lib.load(module)
  if (isFirst) lib.C_Initialize({ flags: p.CKF_OS_LOCKING_OK })
  const isIt = (slot) => lib.C_GetTokenInfo(slot).label.trimEnd() === tokenLabel
  const session = lib.C_OpenSession(lib.C_GetSlotList(true).find(isIt), p.CKF_SERIAL_SESSION)
  if (isFirst) lib.C_Login(session, p.CKU_USER, pin)
  lib.C_FindObjectsInit(session, [{ type: p.CKA_LABEL, value: label }])
  const [kek] = lib.C_FindObjects(session, 1)
  lib.C_FindObjectsFinal(session)

  const iv = randomBytes(12)
  const aad = Buffer.from('a label as long as the plugin has it')
  const parameter = { type: p.CK_PARAMS_AES_GCM_v240, iv, ivBits: 96, aad, tagBits: 128 }
  const gcm = { mechanism: p.CKM_AES_GCM, parameter }
  const dek = randomBytes(32)
  lib.C_EncryptInit(session, gcm, kek)
  const wrapped = Buffer.from(lib.C_Encrypt(session, dek, Buffer.alloc(64)))

  parentPort.on('message', (durationMs) => {
    const latenciesMs = []
    const endMs = performance.now() + durationMs
    for (let atMs = performance.now(); atMs < endMs;) {
      lib.C_DecryptInit(session, gcm, kek)
      const opened = lib.C_Decrypt(session, wrapped, Buffer.allocUnsafeSlow(64))
      if (!opened.equals(dek)) throw new Error('the token answered other bytes')
      const nowMs = performance.now()
      latenciesMs.push(nowMs - atMs)
      atMs = nowMs
    }
    parentPort.postMessage(Float64Array.from(latenciesMs))
  })
  parentPort.postMessage('ready')
}
