/** Time from the operating system. */
import { uptime } from 'node:os'
import { performance } from 'node:perf_hooks'
import type { Clock } from '../../ports/clock.js'

/** How old a reading of the boot clock may be: reading it costs a system call or two. */
const BOOT_READING_MAX_AGE_MS = 100

/**
 * The larger of two clocks: `performance.now()` is fine-grained and stops while the machine is suspended;
 * `os.uptime()` counts suspension. Neither follows the wall clock.
 */
export function createSystemClock(): Clock {
  const bootAtStartMs = uptime() * 1000 - performance.now()
  let suspendedMs = 0
  let readAtMs = -Infinity

  return {
    nowMs() {
      const monotonicMs = performance.now()
      if (monotonicMs - readAtMs >= BOOT_READING_MAX_AGE_MS) {
        readAtMs = monotonicMs
        const aheadMs = uptime() * 1000 - bootAtStartMs - monotonicMs
        // uptime() is coarse: less than a second ahead is rounding, not sleep. It never shrinks.
        if (aheadMs - suspendedMs > 1000) suspendedMs = aheadMs
      }
      return monotonicMs + suspendedMs
    },

    async sleep(delayMs, signal) {
      if (signal?.aborted === true) return
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        // setTimeout takes at most 2^31 - 1 ms and fires at once beyond it.
        const timer = setTimeout(wake, Math.min(delayMs, 2 ** 31 - 1))
        signal?.addEventListener('abort', wake, { once: true })
      })
    },
  }
}
