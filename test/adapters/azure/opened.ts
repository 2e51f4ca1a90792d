/** Opens the backend `azure` on a fake, as the container would. */
import type { BackendDeps } from '../../../src/adapters/backends/backend.js'
import { settings, type AzureSettings } from '../../../src/adapters/backends/azure/settings.js'
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import type { CallOptions } from '../../../src/ports/key_wrapper.js'
import { backendDeps } from '../../support/backend_deps.js'
import { CLIENT, TENANT } from '../../support/fakes/azure_login.js'

export const clock = createSystemClock()

/** Generous: tests assert answers, not speed. */
export function within(ms = 20_000): CallOptions {
  return { deadlineMs: clock.nowMs() + ms, signal: AbortSignal.timeout(ms) }
}

/** An app registration whose secret is in the environment variable SECRET. */
export const secretAuth = {
  method: 'clientSecret',
  tenantId: TENANT,
  clientId: CLIENT,
  clientSecret: 'env:SECRET',
}

/** Checked as a config file would be. */
export function section(url: string, change: object = {}): AzureSettings {
  const defaults = { backend: 'azure', vaultUrl: url, authorityHost: url, keyName: 'kek', auth: secretAuth }
  return settings.parse({ ...defaults, ...change })
}

export function deps(change: Partial<BackendDeps> = {}): BackendDeps {
  return backendDeps({ clock, ...change })
}
