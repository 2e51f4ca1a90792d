// npm run hung [-- --seconds 20 --kills 30]: what is still answered, and how soon, while no call of the HSM returns?
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { measure, quantile, table } from './measured.mjs'

const folder = measure('hung', { seconds: 'HUNG_SECONDS', kills: 'HUNG_KILLS' })
const hung = JSON.parse(readFileSync(join(folder, 'hung.json'), 'utf8'))
const { callMs, statusMs, livezMs, loopMaxMs, loopP99Ms, kills, held, term, kill, machine } = hung

const ms = (value) => (value === '' ? '' : value.toFixed(value < 10 ? 1 : 0))
const row = (name, goal, values) => [
  ...[name, goal, values.length],
  ...[0.5, 0.99, 1].map((share) => ms(quantile(values, share))),
]

console.log('\nWhile every call of the HSM hangs, in ms; 8 calls of clients always wait.')
table(
  ['', 'goal', 'number', 'p50', 'p99', 'max'],
  [
    row('Encrypt and Decrypt, until answered', '2500 (totalTimeout)', callMs),
    row('Status', 'p99 50', statusMs),
    row('/livez 200', '', livezMs),
    ['event loop, delay', 'max 100', '', '', ms(loopP99Ms), ms(loopMaxMs)],
    row('SIGTERM until exit', '5000', [term.exitMs]),
    row('SIGTERM until the HSM process is gone', '', [term.childGoneMs]),
    row('kill -9 until the HSM process is gone', '', [kill.childGoneMs]),
  ],
)
console.log(`\nWhat the plugin holds, before and after its hung HSM process was killed ${kills} times.`)
table(
  ['', 'MiB', 'fds', 'threads'],
  Object.entries(held).map(([when, { rssMiB, fds, threads }]) => [when, rssMiB, fds, threads]),
)
const { node, kernel, processors, memoryGiB, load } = machine
console.log(
  `\n${processors}, ${memoryGiB} GiB, Linux ${kernel}, Node.js ${node}; load average ${load.join(' ')}`,
)
