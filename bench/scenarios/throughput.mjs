/** How many warm Encrypts and Decrypts a second, and what does each cost? Against the null subjects. */
import { METHOD, v1, v2 } from '../lib/kms_messages.mjs'
import { median, ratio, spread } from '../lib/statistics.mjs'
import { plaintexts } from '../lib/values.mjs'

export const title = 'Warm calls of 32 bytes'

const OPERATIONS = {
  'v2 Decrypt': { path: METHOD.v2Decrypt, warmUpCalls: 40_000, inFlight: [1, 8, 64] },
  'v2 Encrypt': { path: METHOD.v2Encrypt, warmUpCalls: 30_000, inFlight: [1, 8, 64] },
  'v1 Decrypt': { path: METHOD.v1Decrypt, warmUpCalls: 15_000, inFlight: [64] },
  'v1 Encrypt': { path: METHOD.v1Encrypt, warmUpCalls: 15_000, inFlight: [64] },
}

/** Before each sample: V8 drops the code of what was not called for a while, and what was measured before is another call. */
const LEAD_IN = { inFlight: 64, calls: 3000 }

export async function run(bench) {
  const { rounds, isQuick, say } = bench
  const cells = Object.entries(OPERATIONS).flatMap(([operation, { inFlight }]) =>
    (isQuick ? inFlight.filter((count) => count === 64) : inFlight).map((count) => ({
      operation,
      inFlight: count,
    })),
  )
  const samples = new Map()
  for (let round = 0; round < rounds.throughput; round++) {
    say(`round ${round + 1} of ${rounds.throughput}`)
    const started = await startAll(bench)
    try {
      for (const subject of started) await warmUp(bench, subject)
      const takenBefore = await bench.kms.takeCounts()
      for (const cell of cells) {
        const inTurn = round % 2 === 0 ? started : [...started].reverse()
        for (const subject of inTurn) await measure(bench, subject, cell, samples)
      }
      const asked = await bench.kms.takeCounts()
      if (asked.decrypt + asked.encrypt > 0)
        throw new Error(
          `warm calls asked the KMS ${JSON.stringify(asked)} after ${JSON.stringify(takenBefore)}`,
        )
    } finally {
      for (const subject of started) await subject.stop()
    }
  }
  return { figures: figuresOf(cells, samples), table: tableOf(cells, samples) }
}

async function startAll({ subjects, kms, isQuick, go }) {
  const starts = [
    async () => subjects.null('null_envelope', 'null envelope'),
    async () => subjects.plugin(kms.config()),
    async () => subjects.null('null_envelope', 'null envelope again'),
    ...(isQuick ? [] : [async () => subjects.null('null_echo', 'null echo')]),
    ...(isQuick || go === undefined ? [] : [async () => subjects.program('grpc-go envelope', go.peer)]),
  ]
  const started = []
  for (const start of starts) started.push(await start())
  return started
}

/** At least 100,000 calls: V8 goes on optimising for so long. */
async function warmUp({ load, isQuick }, subject) {
  const values = plaintexts(1000)
  subject.requests = {
    'v2 Encrypt': load.save(values.map(v2.encrypt)),
    'v1 Encrypt': load.save(values.map(v1.encrypt)),
    'v2 Decrypt': await load.sealed(subject, { path: METHOD.v2Encrypt, plaintexts: values }),
    'v1 Decrypt': await load.sealed(subject, { path: METHOD.v1Encrypt, api: 'v1', plaintexts: values }),
  }
  for (const [operation, { path, warmUpCalls }] of Object.entries(OPERATIONS)) {
    const calls = isQuick ? warmUpCalls / 5 : warmUpCalls
    await load.run(subject, path, subject.requests[operation], { inFlight: 64, calls })
  }
}

async function measure({ load, isQuick }, subject, { operation, inFlight }, samples) {
  const { path } = OPERATIONS[operation]
  await load.run(subject, path, subject.requests[operation], LEAD_IN)
  const pace = { inFlight, durationMs: isQuick ? 400 : 600 }
  const sample = await load.run(subject, path, subject.requests[operation], pace)
  const name = keyOf(subject.name, operation, inFlight)
  samples.set(name, [...(samples.get(name) ?? []), sample])
}

function keyOf(subject, operation, inFlight) {
  return `${subject} ${operation} ${inFlight}`
}

function figuresOf(cells, samples) {
  const figures = {}
  for (const { operation, inFlight } of cells) {
    const of = (subject, what) =>
      samples.get(keyOf(subject, operation, inFlight)).map((sample) => sample[what])
    const limit = (what) => mean(of('null envelope', what), of('null envelope again', what))
    const name = `${operation.replace(' ', '')}.${inFlight}`
    figures[`throughput.${name}`] = ratio(of('kmsplugin', 'perSecond'), limit('perSecond'))
    figures[`cpu.${name}`] = ratio(of('kmsplugin', 'cpuUsPerCall'), limit('cpuUsPerCall'))
    figures[`noise.${name}`] = ratio(of('null envelope again', 'perSecond'), of('null envelope', 'perSecond'))
    figures[`clientShare.${name}`] = spread(of('kmsplugin', 'clientShare'))
  }
  return figures
}

function mean(left, right) {
  return left.map((value, round) => (value + right[round]) / 2)
}

function tableOf(cells, samples) {
  const names = [...new Set([...samples.keys()].map((name) => name.replace(/ v[12] .*$/, '')))]
  const head = ['operation', 'in flight', ...names.map((name) => `${name}: calls/s · CPU µs · p50 · p99 ms`)]
  const rows = cells.map(({ operation, inFlight }) => [
    operation,
    String(inFlight),
    ...names.map((name) => {
      const all = samples.get(keyOf(name, operation, inFlight))
      const of = (read) => median(all.map(read))
      const figures = [of((s) => s.perSecond).toFixed(0), of((s) => s.cpuUsPerCall).toFixed(0)]
      return [...figures, of((s) => s.latencyMs.p50).toFixed(2), of((s) => s.latencyMs.p99).toFixed(2)].join(
        ' · ',
      )
    }),
  ])
  return { head, rows }
}
