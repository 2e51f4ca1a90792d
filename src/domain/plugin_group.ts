/** Several plugins in one process: each has its socket and keys, and they start, are healthy and stop together. */
import { asKmsError } from '../ports/errors.js'
import type { HealthSource } from '../ports/health.js'
import type { Logger } from '../ports/logger.js'
import type { Endpoint, Plugin } from '../ports/operations.js'

/**
 * Rule: all or none. Where one cannot start, `start` fails, and its caller stops all: a process that looks alive and
 * lacks a socket would be noticed only when the Secrets behind it are read.
 *
 * @param health The health server of the process; the plugins serve kube-apiserver without it.
 */
export function createPluginGroup(
  plugins: readonly Plugin[],
  health: Endpoint | undefined,
  logger: Logger,
): Plugin {
  return {
    async start() {
      // At once: one that waits for a predecessor to leave its socket does not hold up the others.
      await Promise.all(plugins.map(async (plugin) => plugin.start()))
      try {
        await health?.start()
      } catch (error) {
        logger.error('no health server', { reason: asKmsError(error).message })
      }
    },
    async stop(reason) {
      const stops = await Promise.allSettled(plugins.map(async (plugin) => plugin.stop(reason)))
      await health?.stop()
      const failed = stops.find((stop) => stop.status === 'rejected')
      if (failed !== undefined) throw asKmsError(failed.reason)
    },
  }
}

/** What all of them say together: ready only if every one is, so that none hides another that is not. */
export function jointHealth(sources: readonly HealthSource[]): HealthSource {
  return {
    report() {
      const reports = sources.map((source) => source.report())
      return { ready: reports.every(({ ready }) => ready), keys: reports.flatMap(({ keys }) => keys) }
    },
  }
}
