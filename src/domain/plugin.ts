/** The order in which the parts of the running plugin start and stop. */
import type { Clock } from '../ports/clock.js'
import type { Logger } from '../ports/logger.js'
import type { Endpoint, Plugin } from '../ports/operations.js'
import { asKmsError, KmsError } from '../ports/errors.js'
import type { KeyRing } from './key_ring.js'
import type { Probe } from './probe.js'

/** Holds secrets for a bounded time. */
export interface SecretCache {
  /** Drops what has expired. */
  sweep(): void
  close(): void
}

export interface PluginParts {
  /** The socket of kube-apiserver: without it there is no plugin. */
  readonly kms: Endpoint
  /** Health and metrics: the plugin serves kube-apiserver without them. */
  readonly health: Endpoint | undefined
  readonly probe: Probe
  /** What holds secrets: swept in the background, emptied at the end. */
  readonly caches: readonly SecretCache[]
  readonly keys: KeyRing
  readonly clock: Clock
  readonly logger: Logger
  /** After a start that failed and may succeed later; 0: it is not tried again. */
  readonly restartDelayMs: number
}

export function createPlugin(parts: PluginParts): Plugin {
  const { kms, health, probe, caches, keys, clock, logger, restartDelayMs } = parts
  const leaving = new AbortController()
  let stopped: Promise<void> | undefined

  /** What an operator must mend, or a bug, is not tried again. */
  const listen = async (): Promise<void> => {
    for (;;) {
      try {
        await kms.start()
        return
      } catch (thrown) {
        const { code, fault, message: reason } = asKmsError(thrown)
        const mayPass = fault === 'backend' && code !== 'ERR_SHUTTING_DOWN'
        if (restartDelayMs === 0 || !mayPass) throw thrown
        logger.error('the start failed and is tried again', { reason, afterMs: restartDelayMs })
      }
      await clock.sleep(restartDelayMs, leaving.signal)
      if (leaving.signal.aborted) throw new KmsError('ERR_SHUTTING_DOWN', 'stopped before it could start')
    }
  }

  const stop = async (reason: string): Promise<void> => {
    logger.info('stopping', { reason })
    try {
      // Pending calls still need the keys, so the keys close last.
      await kms.stop()
      await health?.stop()
    } finally {
      // Whatever went wrong before: no probe and no HSM process is left behind.
      probe.stop()
      for (const cache of caches) cache.close()
      await keys.close()
    }
    logger.info('stopped')
  }

  return {
    async start() {
      // Listen before the keys are ready: kube-apiserver's redial backs off to two minutes.
      await listen()
      try {
        await health?.start()
      } catch (error) {
        logger.error('no health server', { reason: asKmsError(error).message })
      }
      void probe.run(() => {
        for (const cache of caches) cache.sweep()
      })
    },
    async stop(reason) {
      leaving.abort()
      stopped ??= stop(reason)
      return stopped
    },
  }
}
