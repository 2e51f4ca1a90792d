/** Is this key fit to be a KEK? Reads its attributes and says for each what it is, what it should be, and why not. */
import { usageNames, type UsageName, type WeaknessName } from '../shared/mechanisms.js'
import type { Evidence } from '../shared/messages.js'
import { HsmError } from './cryptoki.js'
import type { Handle } from './pkcs11js.js'
import { macKeyOf } from './strategies/aes_cbc_hmac.js'
import type { Bench, Strategy } from './strategies/strategy.js'
import type { Token } from './token.js'

/** Those uses that a private key has. */
const privateUsage = ['CKA_DECRYPT', 'CKA_UNWRAP', 'CKA_SIGN', 'CKA_DERIVE'] as const

/** As long as what HMAC-SHA-256 makes (RFC 2104, section 3). */
const MAC_KEY_BYTES = 32

/** No reason to refuse a key: modules disagree on some, and a key that was imported once is a fact. */
const advised = [
  ['CKA_MODIFIABLE', false],
  ['CKA_LOCAL', true],
  ['CKA_ALWAYS_SENSITIVE', true],
  ['CKA_NEVER_EXTRACTABLE', true],
] as const

/**
 * The evidence on the KEK and, for a strategy that uses one, its HMAC key.
 *
 * @param strategy What the KEK is for; its usage attributes are wanted and no others.
 * @param excepted What the operator allows although it is not as wanted.
 */
export function evidenceOf(bench: Bench, strategy: Strategy, excepted: readonly WeaknessName[]): Evidence[] {
  const { token, session, kek } = bench
  const isRsa = kek.identity.keyType.startsWith('RSA')
  const uses = { wanted: strategy.usage, all: isRsa ? privateUsage : usageNames }
  const own = evidenceOfKey(token, session, kek.handle, uses, excepted)
  if (strategy.mechanism !== 'aes-cbc-hmac') return own
  const macUses = { wanted: ['CKA_SIGN'], all: usageNames.filter((name) => name !== 'CKA_VERIFY') } as const
  const macKey = macKeyOf(bench)
  const mac = evidenceOfKey(token, session, macKey, macUses, excepted)
  const bytes = token.number(session, macKey, token.p11.CKA_VALUE_LEN)
  const length: Evidence = {
    attribute: 'CKA_VALUE_LEN',
    value: bytes === undefined ? 'not told' : String(bytes),
    wanted: `${MAC_KEY_BYTES} or more`,
    verdict: bytes === undefined || bytes >= MAC_KEY_BYTES ? 'ok' : 'refused',
  }
  return [
    ...own,
    ...[length, ...mac].map((row) => ({ ...row, attribute: `${row.attribute} of the HMAC key` })),
  ]
}

/** @throws {HsmError} `ERR_KEY_UNUSABLE` naming every attribute that is refused. */
export function refuseWeak(evidence: readonly Evidence[], where: string): void {
  const refused = evidence.filter(({ verdict }) => verdict === 'refused')
  if (refused.length === 0) return
  const list = refused.map(({ attribute, value }) => `${attribute} ${value}`).join(', ')
  throw new HsmError(
    'ERR_KEY_UNUSABLE',
    `${where} is too weak to wrap DEKs: it has ${list}; make a key with \`kmsplugin keygen\`, or name each in allowWeakKey`,
  )
}

function evidenceOfKey(
  token: Token,
  session: Handle,
  key: Handle,
  uses: { readonly wanted: readonly UsageName[]; readonly all: readonly UsageName[] },
  excepted: readonly WeaknessName[],
): Evidence[] {
  const row = (
    name: WeaknessName | (typeof advised)[number][0],
    wanted: boolean,
    { otherwise, untold }: { readonly otherwise: Evidence['verdict']; readonly untold: boolean },
  ): Evidence => {
    const flag = token.flag(session, key, token.p11[name])
    const verdict = (flag ?? untold) === wanted ? 'ok' : otherwise
    return {
      attribute: name,
      value: flag === undefined ? 'not told' : String(flag),
      wanted: String(wanted),
      verdict,
    }
  }
  const gated = (name: WeaknessName, wanted: boolean, untold: boolean): Evidence =>
    row(name, wanted, { otherwise: excepted.includes(name) ? 'excepted' : 'refused', untold })
  return [
    gated('CKA_SENSITIVE', true, false),
    gated('CKA_EXTRACTABLE', false, true),
    gated('CKA_PRIVATE', true, false),
    // What a token does not tell of a use is one that it does not know.
    ...uses.all.map((name) => gated(name, uses.wanted.includes(name), false)),
    ...advised.map(([name, wanted]) => row(name, wanted, { otherwise: 'advised', untold: wanted })),
  ]
}
