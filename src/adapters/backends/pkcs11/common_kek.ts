/**
 * Which KEK do several tokens hold, and with it which HMAC key, where it wraps with one?
 *
 * Until it is known, whoever needs it has all tokens look at once, and once one has answered the others get as long
 * again. If all that answer show one KEK, it is that one. If they disagree, it is none and nothing is wrapped: which
 * of them answers first, or is out when this node starts, must not decide what the key id is. A single answer is
 * enough, so that a plugin starts during an outage of the other tokens.
 *
 * From then on a token with another KEK is objected to. When every token that has shown a KEK shows the same other
 * one, that is a rotation, as with one token. Likewise for the HMAC key, which a token shows only to one who seals: what
 * one token wraps with another HMAC key, no other would open.
 */
import type { Clock } from '../../../ports/clock.js'
import { asKmsError, KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import { gathered, mostTelling, type MemberFailure } from './group_call.js'
import type { GroupMember } from './group_member.js'
import { isSameKek } from './shared/kek_identity.js'
import type { HsmResult, KekIdentity } from './shared/messages.js'
import { keyIdOfKek } from './wrapper.js'

/** What the label led to on a token last. */
export interface ShownKek {
  readonly identity: KekIdentity
  /** `companionCheck` of its HMAC key, once it was shown. */
  readonly companion: Uint8Array | undefined
}

export class CommonKek {
  readonly #members: readonly GroupMember[]
  readonly #clock: Clock
  #kek: ShownKek | undefined
  #meeting: Promise<void> | undefined

  /** @param members May be filled later. */
  constructor(members: readonly GroupMember[], clock: Clock) {
    this.#members = members
    this.#clock = clock
  }

  get isKnown(): boolean {
    return this.#kek !== undefined
  }

  is(kek: KekIdentity): boolean {
    return this.#kek !== undefined && isSameKek(kek, this.#kek.identity)
  }

  /** Whether the last that a token showed is the common KEK, with its HMAC key. */
  isOn({ shown }: GroupMember): boolean {
    return this.#kek !== undefined && shown !== undefined && agree(shown, this.#kek)
  }

  /** Whether it showed another KEK last: under the name of the common one it has another key. */
  isOther({ shown }: GroupMember): boolean {
    return this.#kek !== undefined && shown !== undefined && !isSameKek(shown.identity, this.#kek.identity)
  }

  /** Whether it showed the common KEK with another HMAC key: what it wrapped with that, it alone opens. */
  isOdd({ shown }: GroupMember): boolean {
    if (this.#kek === undefined || shown === undefined) return false
    return isSameKek(shown.identity, this.#kek.identity) && !agree(shown, this.#kek)
  }

  /**
   * Finds out which it is; all who ask meanwhile share it, and none waits longer than until its own deadline.
   *
   * @throws {KmsError} `ERR_KEY_UNUSABLE` when the tokens disagree; what they answer when none shows a KEK;
   * `ERR_DEADLINE_EXCEEDED`.
   */
  async learn(options: CallOptions): Promise<void> {
    this.#meeting ??= this.#meet().finally(() => {
      this.#meeting = undefined
    })
    const known = new AbortController()
    const stop = options.signal === undefined ? known.signal : AbortSignal.any([known.signal, options.signal])
    const late = this.#clock.sleep(options.deadlineMs - this.#clock.nowMs(), stop).then(() => {
      if (!known.signal.aborted) throw tooLate('no token showed its KEK before the deadline of the call')
    })
    // It goes on without this caller.
    this.#meeting.catch(() => undefined)
    try {
      await Promise.race([this.#meeting, late])
    } finally {
      known.abort()
    }
  }

  /** Takes note of what a token shows. Objects to a KEK that is not the common one, and to none before that is known. */
  judge(member: GroupMember, result: HsmResult): KmsError | undefined {
    const shown = shownBy(result, member.shown)
    member.shown = shown
    if (this.#kek === undefined) return undefined
    if (agree(shown, this.#kek)) {
      this.#kek = { ...this.#kek, companion: this.#kek.companion ?? shown.companion }
      return undefined
    }
    const other = this.#members.find((each) => each.shown !== undefined && !agree(each.shown, shown))
    if (other !== undefined) return disagreement(member, other)
    this.#kek = shown
    return undefined
  }

  async #meet(): Promise<void> {
    const looks = this.#members.map(async (member) => member.look())
    const outcomes = await gathered(looks, this.#clock)
    const absent = this.#members.flatMap((member, at): MemberFailure[] => {
      const outcome = outcomes[at]
      if (outcome?.status === 'fulfilled') return []
      const error = outcome === undefined ? tooLate('showed no KEK yet') : asKmsError(outcome.reason)
      return [{ member, error }]
    })
    const present = this.#members.filter((_, at) => outcomes[at]?.status === 'fulfilled')
    const [first] = present
    if (first?.shown === undefined) throw mostTelling(absent)
    const kek = first.shown
    const other = present.find(({ shown }) => shown !== undefined && !agree(shown, kek))
    if (other !== undefined) throw disagreement(first, other)
    this.#kek = kek
    for (const member of present) member.takeBack()
    for (const { member, error } of absent) member.setAside(error)
  }
}

/** An answer that does not say how the KEK wraps leaves what is known of that as it is. */
function shownBy({ identity, sealing }: HsmResult, before: ShownKek | undefined): ShownKek {
  if (sealing !== undefined) return { identity, companion: sealing.companionCheck }
  const isSame = before !== undefined && isSameKek(before.identity, identity)
  return { identity, companion: isSame ? before.companion : undefined }
}

function agree(one: ShownKek, other: ShownKek): boolean {
  if (!isSameKek(one.identity, other.identity)) return false
  if (one.companion === undefined || other.companion === undefined) return true
  return Buffer.compare(one.companion, other.companion) === 0
}

function disagreement(one: GroupMember, other: GroupMember): KmsError {
  if (one.shown && other.shown && isSameKek(one.shown.identity, other.shown.identity)) {
    return new KmsError(
      'ERR_KEY_UNUSABLE',
      `${one.name} and ${other.name} hold different HMAC keys beside one KEK; copy that of one, with its CKA_ID, to the other`,
    )
  }
  const [first, second] = [one, other].map(
    ({ name, shown }) => `${name} holds ${shown === undefined ? 'none' : keyIdOfKek(shown.identity)}`,
  )
  return new KmsError(
    'ERR_KEY_UNUSABLE',
    `the tokens of one key must hold one KEK: ${first}, ${second}; copy the KEK, with its CKA_ID, or name another one`,
  )
}

function tooLate(text: string): KmsError {
  return new KmsError('ERR_DEADLINE_EXCEEDED', text)
}
