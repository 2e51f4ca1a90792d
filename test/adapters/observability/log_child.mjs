/**
 * The other side of pino_logger_process.test.ts, which bundles it: with a number as its argument it logs so many lines to
 * stderr, says on stdout how it fared, and waits for a word on stdin before it flushes and exits.
 */
import { once } from 'node:events'
import process from 'node:process'
import { setImmediate } from 'node:timers/promises'
import { createPinoLogger } from '../../../src/adapters/observability/pino_logger.ts'

void main()

async function main() {
  const lines = Number(process.argv[2])
  const log = createPinoLogger({ level: 'info', pretty: false, fd: 2 })

  const rssBefore = process.memoryUsage.rss()
  for (let n = 0; n < lines; n++) {
    log.info('request', { n, filler: 'x'.repeat(200) })
    // A service also does other things: timers run and garbage is collected.
    if (n % 1_000 === 0) await setImmediate()
  }
  const rssGrowth = process.memoryUsage.rss() - rssBefore
  process.stdout.write(`${JSON.stringify({ dropped: log.dropped(), rssGrowth })}\n`)

  process.stdin.resume()
  await once(process.stdin, 'data')
  log.info('the last line')
  log.flush()
  process.exit(0)
}
