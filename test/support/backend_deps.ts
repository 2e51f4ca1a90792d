/** What the container gives to a backend, for tests that open one without it. */
import type { BackendDeps } from '../../src/adapters/backends/backend.js'
import { createSystemClock } from '../../src/adapters/system/clock.js'
import { RecordingLogger } from '../doubles/recording_logger.js'

export function backendDeps(change: Partial<BackendDeps> = {}): BackendDeps {
  return {
    key: 'kek',
    isPrimary: true,
    clock: createSystemClock(),
    logger: new RecordingLogger(),
    callTimeoutMs: 5000,
    env: {},
    stateDir: undefined,
    onRestart: () => undefined,
    onTokenHealth: () => undefined,
    ...change,
  }
}
