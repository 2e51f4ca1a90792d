/** What does `check` say about how we are let in, and for how long? */
import { objectAt, type JsonObject } from '../remote/json_answer.js'
import type { Line } from './check_line.js'
import { errorOf } from './errors.js'
import type { VaultSession } from './session.js'
import type { VaultSettings } from './settings.js'

/** @throws {KmsError} What logging in throws. */
export async function tokenLines(session: VaultSession, { auth }: VaultSettings): Promise<Line[]> {
  const reply = await session.ask({ method: 'GET', path: 'auth/token/lookup-self' }, {})
  if (reply.status !== 200) {
    throw errorOf({ service: session.service, path: 'auth/token/lookup-self', kek: 'the token' }, reply)
  }
  const data = objectAt(reply.body, 'data')
  const { ttl, renewable, period, num_uses: uses } = data
  const isEndless = ttl === 0 && typeof data['expire_time'] !== 'string'
  const life = isEndless
    ? 'without end'
    : `for ${String(ttl)} s, ${renewable === true ? 'renewable' : 'not renewable'}`
  const lines: Line[] = [
    ['ok', `logged in to ${session.service} by ${auth.method}; the token holds ${life}${periodText(period)}`],
  ]
  const isRoot = Array.isArray(data['policies']) && data['policies'].includes('root')
  if (isRoot)
    lines.push([
      'warning',
      'the token is a root token: it may do everything, and makes a missing key instead of failing',
    ])
  if (auth.method === 'token' && !isEndless && renewable !== true) {
    lines.push([
      'warning',
      `the token ends in ${String(ttl)} s and cannot be renewed: somebody must replace it before (Vault Agent does)`,
    ])
  } else if (auth.method === 'token' && !isEndless && !isPositive(period)) {
    lines.push([
      'warning',
      `the token can be renewed up to its maximum only; use a periodic one, or replace the file in time${maxText(data)}`,
    ])
  }
  if (isPositive(uses))
    lines.push(['warning', `the token ends after ${String(uses)} more requests: make one without num_uses`])
  return lines
}

function periodText(period: unknown): string {
  return isPositive(period) ? `, by a period of ${String(period)} s` : ''
}

function maxText(data: JsonObject): string {
  const max = data['explicit_max_ttl']
  return isPositive(max) ? ` (explicit_max_ttl ${String(max)} s)` : ''
}

/** What the method itself means for a cluster. */
export function authLines({ auth }: VaultSettings): Line[] {
  if (auth.method !== 'kubernetes') return []
  const text =
    'with the auth method kubernetes Vault asks kube-apiserver before it lets us in, and kube-apiserver may wait for us when the cluster starts; if that is this cluster, use jwt, cert or approle'
  return [['warning', text]]
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && value > 0
}
