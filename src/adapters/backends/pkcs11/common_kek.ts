/**
 * Which KEK do several tokens hold?
 *
 * Until it is known, whoever needs it has all tokens look at once, and once one has answered the others get as long
 * again. If all that answer show one KEK, it is that one. If they disagree, it is none and nothing is wrapped: which
 * of them answers first, or is out when this node starts, must not decide what the key id is. A single answer is
 * enough, so that a plugin starts during an outage of the other tokens.
 *
 * From then on a token with another KEK is objected to. When every token that has shown a KEK shows the same other
 * one, that is a rotation, as with one token.
 */
import type { Clock } from '../../../ports/clock.js'
import { asKmsError, KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import { gathered, mostTelling, type MemberFailure } from './group_call.js'
import type { GroupMember } from './group_member.js'
import { isSameKek } from './shared/kek_identity.js'
import type { KekIdentity } from './shared/messages.js'
import { keyIdOfKek } from './wrapper.js'

export class CommonKek {
  readonly #members: readonly GroupMember[]
  readonly #clock: Clock
  #kek: KekIdentity | undefined
  #meeting: Promise<void> | undefined

  /** @param members May be filled later. */
  constructor(members: readonly GroupMember[], clock: Clock) {
    this.#members = members
    this.#clock = clock
  }

  get isKnown(): boolean {
    return this.#kek !== undefined
  }

  is(kek: KekIdentity | undefined): boolean {
    return this.#kek !== undefined && kek !== undefined && isSameKek(kek, this.#kek)
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
  judge(member: GroupMember, shown: KekIdentity): KmsError | undefined {
    member.shown = shown
    if (this.#kek === undefined || isSameKek(shown, this.#kek)) return undefined
    const other = this.#members.find((each) => each.shown !== undefined && !isSameKek(each.shown, shown))
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
    const other = present.find(({ shown }) => shown !== undefined && !isSameKek(shown, kek))
    if (other !== undefined) throw disagreement(first, other)
    this.#kek = kek
    for (const member of present) member.takeBack()
    for (const { member, error } of absent) member.setAside(error)
  }
}

function disagreement(one: GroupMember, other: GroupMember): KmsError {
  const [first, second] = [one, other].map(
    ({ name, shown }) => `${name} holds ${shown === undefined ? 'none' : keyIdOfKek(shown)}`,
  )
  return new KmsError(
    'ERR_KEY_UNUSABLE',
    `the tokens of one key must hold one KEK: ${first}, ${second}; copy the KEK, with its CKA_ID, or name another one`,
  )
}

function tooLate(text: string): KmsError {
  return new KmsError('ERR_DEADLINE_EXCEEDED', text)
}
