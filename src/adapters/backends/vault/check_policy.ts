/** What does `check` say about what our token may do? */
import { isObject } from '../remote/json_answer.js'
import type { Line } from './check_line.js'
import { errorOf } from './errors.js'
import type { VaultSession } from './session.js'
import type { VaultSettings } from './settings.js'

/** The paths that we use, the capability that each needs, and those that no KMS plugin should have. */
export async function policyLines(
  session: VaultSession,
  settings: VaultSettings,
  isPrimary: boolean,
): Promise<Line[]> {
  const { mount, keyName } = settings
  const needed: readonly (readonly [string, string])[] = [
    [`${mount}/keys/${keyName}`, 'read'],
    [`${mount}/decrypt/${keyName}`, 'update'],
    ...(isPrimary ? ([[`${mount}/encrypt/${keyName}`, 'update']] as const) : []),
  ]
  const encrypt = `${mount}/encrypt/${keyName}`
  const paths = [...new Set([...needed.map(([path]) => path), encrypt])]
  const path = 'sys/capabilities-self'
  // It is a POST that only answers.
  const reply = await session.ask({ method: 'POST', path, body: { paths } }, {})
  if (reply.status !== 200) throw errorOf({ service: session.service, path, kek: 'the policies' }, reply)
  const data = isObject(reply.body['data']) ? reply.body['data'] : reply.body
  const granted = (one: string): readonly unknown[] => (Array.isArray(data[one]) ? data[one] : [])
  const may = (one: string, capability: string) =>
    granted(one).includes(capability) || granted(one).includes('root')
  const missing = needed.filter(([one, capability]) => !may(one, capability))
  const extra = paths.filter((one) => granted(one).includes('root') || granted(one).includes('sudo'))
  const lines: Line[] = missing.map(([one, capability]) => [
    'error',
    `the policies of our token lack "${capability}" on ${one}; docs/vault.md has the policy to grant`,
  ])
  if (may(encrypt, 'create')) {
    const text = `our token may "create" at ${encrypt}: if the key is deleted while we wrap, Vault makes a new one; grant "update" alone`
    lines.push(['warning', text])
  }
  if (extra.length > 0)
    lines.push(['warning', `our token has root or sudo rights on ${extra.join(', ')}; it needs none`])
  if (lines.length === 0)
    lines.push(['ok', `our token may do what it needs on ${paths.length} paths, and may not create keys`])
  return lines
}
