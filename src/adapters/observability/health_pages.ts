/** Which paths are there, and what do they say? */
import type { HealthReport, HealthSource, KeyHealth } from '../../ports/health.js'

export interface Page {
  readonly status: number
  readonly body: string
  /** Plain text unless it says otherwise. */
  readonly contentType?: string
}

export interface HealthPagesOptions {
  /** Beside /readyz. */
  readonly path: string
  /** Beside /livez. */
  readonly livePath: string
  readonly health: HealthSource
  readonly scrape: () => Promise<string>
  readonly contentType: string
}

/** Every path with what makes its page. Liveness is this process alone: no restart of ours mends an HSM. */
export function healthPages({
  path,
  livePath,
  health,
  scrape,
  contentType,
}: HealthPagesOptions): ReadonlyMap<string, () => Page | Promise<Page>> {
  const live = (): Page => ({ status: 200, body: 'ok\n' })
  const ready = () => readinessPage(health.report())
  const metrics = async (): Promise<Page> => ({ status: 200, body: await scrape(), contentType })
  const base = path.replace(/\/+$/, '')
  return new Map<string, () => Page | Promise<Page>>([
    [base === '' ? '/' : base, ready],
    [`${base}/readiness`, ready],
    [`${base}/liveness`, live],
    [livePath, live],
    // Last, so that no configured path hides them.
    ['/readyz', ready],
    ['/livez', live],
    ['/metrics', metrics],
  ])
}

/** `ready` or `not ready`, then one line a key: name, role, outcome of the last probe, its age. */
function readinessPage({ ready, keys }: HealthReport): Page {
  const lines = [ready ? 'ready' : 'not ready', ...keys.map(keyLine)]
  return { status: ready ? 200 : 503, body: `${lines.join('\n')}\n` }
}

function keyLine({ key, primary, outcome, ageMs }: KeyHealth): string {
  const age = ageMs === undefined ? 'not probed yet' : `probed ${(ageMs / 1000).toFixed(1)} s ago`
  return `${key}: ${primary ? 'primary' : 'decrypt-only'}, ${outcome}, ${age}`
}
