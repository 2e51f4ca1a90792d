// npm run outages [-- --rounds 100 --kind hang,stuck --seed 1]: how long until the plugin is back when the HSM is?
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { measure, quantile, table } from './measured.mjs'

const GOAL_MS = 1000

const folder = measure('outages', { rounds: 'OUTAGE_ROUNDS', kind: 'OUTAGE_KINDS', seed: 'OUTAGE_SEED' })
const kinds = readdirSync(folder)
  .filter((name) => name.startsWith('outage-'))
  .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
  .sort((a, b) => a.kind.localeCompare(b.kind))

const ms = (values, share) => String(Math.round(quantile(values, share)))
const spread = (values) => [ms(values, 0.5), ms(values, 0.99), ms(values, 1)]
const change = (before, after) => `${before} → ${after}`

console.log(
  '\nTimes in ms from the moment when the HSM was there again; calls that failed are over the whole round.',
)
table(
  [
    ['kind', 'rounds', `≤ ${GOAL_MS} ms`, 'p50', 'p99', 'max', 'Status ok p50', 'max', '/readyz p50', 'max'],
    ['failed p50', 'failed max', 'respawns', 'C_Initialize', 'C_Login', 'start p50', 'start max'],
  ].flat(),
  kinds.map(({ kind, rounds, before, after, initialises, logins, startMs }) => {
    const of = (name) => rounds.map((round) => round[name])
    const inTime = of('recoveryMs').filter((time) => time <= GOAL_MS).length
    const failed = of('failedCalls')
    return [
      ...[kind, rounds.length, inTime, ...spread(of('recoveryMs'))],
      ...[ms(of('statusOkMs'), 0.5), ms(of('statusOkMs'), 1), ms(of('readyMs'), 0.5), ms(of('readyMs'), 1)],
      ...[ms(failed, 0.5), ms(failed, 1), after.respawns - before.respawns, initialises, logins],
      ...(startMs.length === 0 ? ['', ''] : [ms(startMs, 0.5), ms(startMs, 1)]),
    ]
  }),
)
console.log('\nWhat the processes hold before the first round and after the last one.')
table(
  ['kind', 'plugin MiB', 'fds', 'threads', 'HSM process MiB', 'fds', 'threads', 'load'],
  kinds.map(({ kind, before, after }) => [
    kind,
    ...['plugin', 'child'].flatMap((process) =>
      ['rssMiB', 'fds', 'threads'].map((name) => change(before[process][name], after[process][name])),
    ),
    change(before.load[0], after.load[0]),
  ]),
)
const { node, kernel, processors, memoryGiB } = kinds[0].machine
console.log(`\n${processors}, ${memoryGiB} GiB, Linux ${kernel}, Node.js ${node}; seed ${kinds[0].seed}`)
const late = kinds
  .filter(({ isEndless }) => !isEndless)
  .flatMap(({ kind, rounds }) => rounds.filter(({ recoveryMs }) => recoveryMs > GOAL_MS).map(() => kind))
console.log(
  late.length === 0 ? `all back within ${GOAL_MS} ms` : `later than ${GOAL_MS} ms: ${late.join(' ')}`,
)
