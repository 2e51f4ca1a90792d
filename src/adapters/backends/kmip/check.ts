/** What should an operator know about the server and the key before relying on them? Encrypts nothing. */
import { asKmsError } from '../../../ports/errors.js'
import type { EvidenceRow, Finding } from '../../../ports/operations.js'
import type { BackendDeps } from '../backend.js'
import { dateText, endings, kindRefusal, stateNames, stateRefusal, type Kek } from './kek.js'
import { openServer } from './open.js'
import type { KmipSettings } from './settings.js'
import { usages } from './tags.js'
import { versionText } from './version.js'

/** @param wallMs Now, since 1970. */
export async function checkKmipKey(
  settings: KmipSettings,
  deps: BackendDeps,
  wallMs = Date.now(),
): Promise<readonly Finding[]> {
  const server = openServer(settings, deps)
  const subject = `keys.${deps.key}`
  let findings: readonly Finding[] = []
  try {
    const { version, vendor } = await server.info()
    const who = vendor === '' ? '' : `, which calls itself ${JSON.stringify(vendor.slice(0, 80))}`
    findings = [ok(`${subject}.address`, `${server.service} speaks KMIP ${versionText(version)}${who}`)]
    const kek = await server.look()
    return [
      ...findings,
      ...verdict(kek, server.service, subject, deps.isPrimary),
      ...warnings(kek, settings, deps, wallMs),
    ]
  } catch (error) {
    return [...findings, { level: 'error', subject, text: asKmsError(error).message }]
  } finally {
    server.close()
  }
}

function verdict(kek: Kek, service: string, subject: string, isPrimary: boolean): readonly Finding[] {
  const evidence = evidenceOf(kek)
  const refusal = kindRefusal(kek, service) ?? stateRefusal(kek, service)
  if (refusal === undefined) return [{ ...ok(subject, `the key ${kek.uid} can wrap and unwrap`), evidence }]
  // One that only opens may be Deactivated: whether this server lets it, only an unwrap tells.
  return [{ level: isPrimary ? 'error' : 'warning', subject, text: refusal.message, evidence }]
}

function evidenceOf(kek: Kek): readonly EvidenceRow[] {
  const row = (name: string, value: string | undefined, wanted: string): EvidenceRow => ({
    name,
    value: value ?? 'not told',
    wanted,
    verdict: value === undefined || value === wanted || wanted === '' ? 'ok' : 'refused',
  })
  const state = kek.state === undefined ? undefined : (stateNames[kek.state] ?? String(kek.state))
  return [
    row('State', state, 'Active'),
    row('Cryptographic Algorithm', kek.algorithm?.toString(), '3'),
    row('Cryptographic Length', kek.lengthBits?.toString(), '256'),
    row('Cryptographic Usage Mask', kek.usageMask === undefined ? undefined : maskText(kek.usageMask), MASK),
    row('Initial Date', dateText(kek.initialDate), ''),
    row('Activation Date', dateText(kek.activationDate), ''),
    row('Protect Stop Date', dateText(kek.protectStopDate), ''),
    row('Deactivation Date', dateText(kek.deactivationDate), ''),
  ]
}

/** Those of the usages that matter, whatever others there are. */
const MASK = 'Encrypt and Decrypt'

function maskText(mask: number): string {
  const has = (usage: number, name: string) => ((mask & usage) === 0 ? [] : [name])
  return [...has(usages.ENCRYPT, 'Encrypt'), ...has(usages.DECRYPT, 'Decrypt')].join(' and ') || 'neither'
}

function warnings(
  kek: Kek,
  { keyLabel }: KmipSettings,
  { key, isPrimary }: BackendDeps,
  wallMs: number,
): readonly Finding[] {
  /** Setting, whether it applies, what to say. */
  const rows: readonly (readonly [string, boolean, string])[] = [
    [
      'keyLabel',
      keyLabel !== undefined && !isPrimary,
      `this entry only opens old values, and a label follows the key that is Active: write keyId: ${kek.uid}`,
    ],
    ...endings(kek, wallMs).map(
      (what) => ['keyId', true, `${what}; have its successor as primary before`] as const,
    ),
    [
      'keyId',
      kek.initialDate === undefined,
      'the server does not tell the Initial Date of the key, so that its identifier alone names it; allow Get Attributes of all attributes',
    ],
  ]
  return rows
    .filter(([, applies]) => applies)
    .map(([setting, , text]) => ({ level: 'warning', subject: `keys.${key}.${setting}`, text }))
}

function ok(subject: string, text: string): Finding {
  return { level: 'ok', subject, text }
}
