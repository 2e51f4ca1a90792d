/** Is this key fit to be a KEK? Reads its attributes and says for each what it is, what it should be, and why not. */
import type { WeaknessName } from '../shared/mechanisms.js'
import type { Evidence } from '../shared/messages.js'
import { HsmError } from './cryptoki.js'
import type { Handle } from './pkcs11js.js'
import { macKeyOf } from './strategies/aes_cbc_hmac.js'
import type { Bench, Strategy } from './strategies/strategy.js'
import type { Token } from './token.js'

const usage = [
  'CKA_ENCRYPT',
  'CKA_DECRYPT',
  'CKA_WRAP',
  'CKA_UNWRAP',
  'CKA_SIGN',
  'CKA_VERIFY',
  'CKA_DERIVE',
] as const
/** Those of them that a private key has. */
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
  const flags = { wanted: strategy.usage, all: isRsa ? privateUsage : usage }
  const own = evidenceOfKey(token, session, kek.handle, flags, excepted)
  if (strategy.mechanism !== 'aes-cbc-hmac') return own
  const macFlags = { wanted: ['CKA_SIGN'], all: usage.filter((name) => name !== 'CKA_VERIFY') } as const
  const macKey = macKeyOf(bench)
  const mac = evidenceOfKey(token, session, macKey, macFlags, excepted)
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
  flags: { readonly wanted: readonly WeaknessName[]; readonly all: readonly WeaknessName[] },
  excepted: readonly WeaknessName[],
): Evidence[] {
  const row = (name: WeaknessName, wanted: boolean, isFine: boolean | undefined): Evidence => {
    const flag = token.flag(session, key, token.p11[name])
    const value = flag === undefined ? 'not told' : String(flag)
    const isOk = flag === undefined ? isFine === true : flag === wanted
    const verdict = isOk ? 'ok' : excepted.includes(name) ? 'excepted' : 'refused'
    return { attribute: name, value, wanted: String(wanted), verdict }
  }
  return [
    row('CKA_SENSITIVE', true, false),
    row('CKA_EXTRACTABLE', false, false),
    row('CKA_PRIVATE', true, false),
    // What a token does not tell of a usage is one that it does not know.
    ...flags.all.map((name) => row(name, flags.wanted.includes(name), !flags.wanted.includes(name))),
    ...advised.map(([name, wanted]): Evidence => {
      const flag = token.flag(session, key, token.p11[name])
      const value = flag === undefined ? 'not told' : String(flag)
      const verdict = flag === undefined || flag === wanted ? 'ok' : 'advised'
      return { attribute: name, value, wanted: String(wanted), verdict }
    }),
  ]
}
