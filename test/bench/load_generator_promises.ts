/** What every load generator of the benchmark promises, whatever it is written in. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { splitMessages } from '../../bench/client/messages_file.mjs'
import { message, METHOD, v2 } from '../../bench/lib/kms_messages.mjs'
import { Scene } from './load_generator.js'

/** @param words The command that starts it. */
export function promises(words: readonly string[]): void {
  const plaintexts = Array.from({ length: 10 }, () => randomBytes(32))
  const echoes = plaintexts.map((plaintext) => message([1, plaintext], [2, 'key']))
  let scene: Scene
  let requests: string
  beforeEach(() => {
    scene = new Scene(words)
    requests = scene.save(plaintexts.map(v2.encrypt))
  })
  afterEach(() => scene.close())
  const encrypt = (socket: string) => ({ socket, path: METHOD.v2Encrypt, requests })

  it('tells that nobody listens', async () => {
    const { problem } = await scene.run({ ...encrypt(join(scene.folder, 'none')), inFlight: 1, calls: 1 })
    expect(problem).toMatch(/ENOENT|no such file/)
  })

  it('counts calls that the server refuses', async () => {
    const path = `${METHOD.v2Encrypt}Not`
    const result = await scene.run({ ...encrypt(await scene.server()), path, inFlight: 4, calls: 20 })
    expect(result).toMatchObject({ calls: 20, errors: 20, firstError: expect.any(String) as string })
  })

  it('counts answers that are not the expected ones', async () => {
    const wrong = echoes.with(3, echoes[4]!)
    const answers = scene.save(wrong)
    const result = await scene.run({ ...encrypt(await scene.server()), answers, inFlight: 4, calls: 40 })
    expect(result).toMatchObject({ calls: 40, errors: 4, firstError: 'the answer is not the one expected' })
  })

  it('counts what fails when the server dies, and ends', async () => {
    const socket = await scene.server('50', 'die')
    const { calls, errors } = await scene.run({ ...encrypt(socket), inFlight: 8, calls: 200 })
    expect(calls).toBe(200)
    expect(errors).toBeGreaterThan(150)
    expect(errors).toBeLessThan(200)
  })

  it('counts what fails when the server dies while calls begin at fixed times', async () => {
    const socket = await scene.server('50', 'die')
    const { calls, errors } = await scene.run({ ...encrypt(socket), ratePerSecond: 1000, calls: 200 })
    expect(calls).toBe(200)
    expect(errors).toBeGreaterThan(150)
    expect(errors).toBeLessThan(200)
  })

  it('keeps the answers in the order of the requests', async () => {
    const keep = join(scene.folder, 'kept')
    const answers = scene.save(echoes)
    const socket = await scene.server()
    const result = await scene.run({ ...encrypt(socket), answers, keep, inFlight: 4, calls: 10 })
    expect(result).toMatchObject({ calls: 10, errors: 0 })
    expect(splitMessages(readFileSync(keep))).toEqual(echoes)
  })

  it('begins no more calls at once than the server takes', async () => {
    const result = await scene.run({ ...encrypt(await scene.server()), inFlight: 1000, calls: 2000 })
    expect(result).toMatchObject({ calls: 2000, errors: 0 })
  })

  it('ends after the time that it was given', async () => {
    const result = await scene.run({ ...encrypt(await scene.server()), inFlight: 2, durationMs: 50 })
    expect(result.errors).toBe(0)
    expect(result.seconds).toBeGreaterThanOrEqual(0.05)
  })

  it('charges a server that stalls for every call that was due meanwhile', async () => {
    const socket = await scene.server('200', 'stall')
    const { calls, errors, latencyMs } = await scene.run({
      ...encrypt(socket),
      ratePerSecond: 1000,
      calls: 700,
    })
    expect({ calls, errors }).toEqual({ calls: 700, errors: 0 })
    expect(latencyMs.max).toBeGreaterThan(280)
    // 300 of 700 calls were late, the last of them by little: a seventh by 200 ms and more.
    expect(latencyMs.p99).toBeGreaterThan(200)
  })
}
