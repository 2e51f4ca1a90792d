/**
 * The load generator, a process of its own. Reads one JSON command a line from stdin, answers one JSON line each; the
 * program in ../go/client does the same with grpc-go.
 *
 * Command: `{socket, path, requests, answers?, keep?, inFlight, calls?, durationMs?, ratePerSecond?}`. `requests` is a
 * file of messages, each behind its length (4 bytes, big-endian); call i sends message i mod n. `answers` is a file
 * of what must come back, `keep` one to write it to.
 *
 * Answer: `{calls, errors, firstError?, seconds, clientCpuMs, latencyMs: {p50, p99, p999, max}}`, or `{problem}`.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { successTrailers } from './calibrate.mjs'
import { Connection } from './connection.mjs'
import { callFrames } from './frames.mjs'
import { closedLoop, openLoop } from './loops.mjs'
import { joinMessages, splitMessages } from './messages_file.mjs'
import { quantiles } from './quantiles.mjs'

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await run(JSON.parse(line)).catch((error) => ({ problem: error.message }))
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

async function run({ socket, path, requests, answers, keep, ...pace }) {
  const messages = splitMessages(readFileSync(requests))
  const expected = answers === undefined ? undefined : splitMessages(readFileSync(answers))
  const kept = keep === undefined ? undefined : new Array(messages.length)
  const frames = messages.map((message) => callFrames(path, message))
  const connection = await Connection.open(socket)
  try {
    const success = await successTrailers(connection, socket)
    let errors = 0
    let firstError
    const problemOf = (index, message, trailers, problem) => {
      if (problem !== undefined) return problem
      if (trailers === undefined || !trailers.equals(success))
        return 'the call failed: other trailers than those of a success'
      if (message === undefined) return 'the answer has no whole message'
      if (expected !== undefined && !message.equals(expected[index]))
        return 'the answer is not the one expected'
      return undefined
    }
    const call = (number, done) => {
      const index = number % frames.length
      connection.call(frames[index], (message, trailers, problem) => {
        const wrong = problemOf(index, message, trailers, problem)
        if (wrong !== undefined) {
          errors += 1
          firstError ??= wrong
        } else if (kept !== undefined) kept[index] = Buffer.from(message)
        done()
      })
    }
    const flush = () => connection.flush()
    const before = process.cpuUsage()
    const loop = pace.ratePerSecond === undefined ? closedLoop : openLoop
    const { latenciesMs, seconds } = await loop({ call, flush, ...pace })
    const { user, system } = process.cpuUsage(before)
    if (kept !== undefined) writeFileSync(keep, joinMessages(kept))
    const latencyMs = quantiles(latenciesMs)
    return {
      calls: latenciesMs.length,
      errors,
      firstError,
      seconds,
      clientCpuMs: (user + system) / 1000,
      latencyMs,
    }
  } finally {
    connection.close()
  }
}
