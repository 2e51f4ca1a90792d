/** The order in which the parts of the running plugin start and stop. */
import type { Logger } from '../ports/logger.js'
import type { Endpoint, Plugin } from '../ports/operations.js'
import { asKmsError } from '../ports/errors.js'
import type { KeyRing } from './key_ring.js'
import type { OpeningDeks } from './opening_deks.js'
import type { Probe } from './probe.js'

export interface PluginParts {
  /** The socket of kube-apiserver: without it there is no plugin. */
  readonly kms: Endpoint
  /** Health and metrics: the plugin serves kube-apiserver without them. */
  readonly health: Endpoint | undefined
  readonly probe: Probe
  readonly opening: OpeningDeks
  readonly keys: KeyRing
  readonly logger: Logger
}

export function createPlugin(parts: PluginParts): Plugin {
  const { kms, health, probe, opening, keys, logger } = parts
  let stopped: Promise<void> | undefined

  const stop = async (reason: string): Promise<void> => {
    logger.info('stopping', { reason })
    try {
      // Pending calls still need the keys, so the keys close last.
      await kms.stop()
      await health?.stop()
    } finally {
      // Whatever went wrong before: no probe and no HSM process is left behind.
      probe.stop()
      opening.close()
      await keys.close()
    }
    logger.info('stopped')
  }

  return {
    async start() {
      // Listen before the keys are ready: kube-apiserver's redial backs off to two minutes.
      await kms.start()
      try {
        await health?.start()
      } catch (error) {
        logger.error('no health server', { reason: asKmsError(error).message })
      }
      void probe.run(() => opening.sweep())
    },
    async stop(reason) {
      stopped ??= stop(reason)
      return stopped
    },
  }
}
