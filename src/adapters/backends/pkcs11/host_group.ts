/** How do several tokens that hold one KEK pass for one? */
import type { Clock } from '../../../ports/clock.js'
import { asKmsError, KmsError, type KmsErrorCode } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import { CommonKek } from './common_kek.js'
import { askInTurn, gathered, mostTelling } from './group_call.js'
import { GroupMember, type MemberOptions } from './group_member.js'
import type { Hsm } from './hsm.js'
import type { DecryptRequest, HsmResult, KekRequest } from './shared/messages.js'

/** What a token without a certain KEK answers. */
const notHere: readonly KmsErrorCode[] = ['ERR_KEY_NOT_FOUND', 'ERR_KEY_UNKNOWN', 'ERR_KEY_UNUSABLE']

/** What a token in order answers to bytes that are none of ours, by the form that they pretend to have. */
const inDoubt: readonly KmsErrorCode[] = [
  'ERR_UNWRAP_AMBIGUOUS',
  'ERR_KEY_UNUSABLE',
  'ERR_ACCESS_DENIED',
  'ERR_BACKEND_RESPONSE',
]

export class HostGroup implements Hsm {
  readonly isGroup = true
  readonly #members: GroupMember[] = []
  readonly #clock: Clock
  readonly #kek: CommonKek
  #turns = 0
  #isClosed = false

  /** Asks nobody before the first call. */
  constructor(members: readonly MemberOptions[], clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#kek = new CommonKek(this.#members, clock)
    for (const each of members) {
      this.#members.push(
        new GroupMember(each, clock, logger, (member, shown) => this.#kek.judge(member, shown)),
      )
    }
  }

  /**
   * Has one of the tokens do it: of those that are up the one of the highest weight, those of one weight by turns;
   * those that are set aside when no other is left. One that fails is set aside, unless the fault is in the data.
   *
   * @throws {KmsError} as {@link Hsm.call}, and `ERR_KEY_UNUSABLE` when the tokens hold different KEKs.
   */
  async call(request: KekRequest, options: CallOptions): Promise<HsmResult> {
    if (this.#isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
    switch (request.op) {
      case 'identify':
      case 'wrap':
        if (!this.#kek.isKnown) await this.#kek.learn(options)
        return this.#ask(request, options)
      case 'unwrap':
        return this.#ask(request, options)
      case 'list':
        return this.#list(options)
      case 'inspect':
      case 'keygen':
        throw new KmsError('ERR_INTERNAL', `${request.op} is for one token alone`)
    }
  }

  /**
   * As {@link call}. A token that does not have that key, or not that mechanism, is not set aside for it: its KEK may be
   * in order. One that shows another KEK is not asked: unlike a wrapped DEK, nothing in the question names the key.
   */
  async decrypt(request: DecryptRequest, options: CallOptions): Promise<Uint8Array> {
    if (this.#isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'the plugin is stopping')
    const ask = async (member: GroupMember, signal: AbortSignal) => {
      this.#turns += 1
      member.lastTurn = this.#turns
      return { bytes: await member.hsm.decrypt(request, { ...options, signal }) }
    }
    const blame = (member: GroupMember, error: KmsError): void => {
      if (this.#kek.isKnown && !this.#isClosed && error.fault === 'backend') member.setAside(error)
    }
    const isDoubt = ({ code }: KmsError): boolean => inDoubt.includes(code)
    const members = this.#inOrder().filter((member) => !this.#kek.isOther(member))
    const { bytes } = await askInTurn(
      { members, ask, blame, isDoubt, isOdd: () => false },
      options,
      this.#clock,
    )
    return bytes
  }

  /** Ends the looks and closes every token. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all(this.#members.map(async (member) => member.close()))
  }

  async #ask(request: KekRequest, options: CallOptions): Promise<HsmResult> {
    const asked = new Set<GroupMember>()
    const ask = async (member: GroupMember, signal: AbortSignal): Promise<HsmResult> => {
      asked.add(member)
      this.#turns += 1
      member.lastTurn = this.#turns
      const wasUp = member.isUp
      const result = await member.hsm.call(request, { ...options, signal })
      const objection = request.op === 'unwrap' ? undefined : this.#kek.judge(member, result)
      if (objection !== undefined) throw objection
      // One that became slow during this call comes back by a look.
      if (wasUp === member.isUp && this.#kek.isOn(member)) member.served(request.op, result)
      return result
    }
    const isSealing = request.op === 'wrap' || (request.op === 'identify' && request.seals)
    const blame = (member: GroupMember, error: KmsError): void => {
      if (this.#isAboutTheToken(request, error)) member.setAside(error, isSealing)
    }
    const isDoubt = ({ code }: KmsError): boolean => request.op === 'unwrap' && inDoubt.includes(code)
    const isOdd = (member: GroupMember): boolean => this.#kek.isOdd(member)
    const result = await askInTurn(
      { members: this.#inOrder(), ask, blame, isDoubt, isOdd },
      options,
      this.#clock,
    )
    // The probe asks for this now and then: the time to see how the idle ones are.
    if (request.op === 'identify') {
      for (const member of this.#members) if (!asked.has(member)) member.verify(request.seals)
    }
    return result
  }

  #inOrder(): GroupMember[] {
    return this.#members.toSorted(
      (one, other) =>
        Number(other.isUp) - Number(one.isUp) || other.weight - one.weight || one.lastTurn - other.lastTurn,
    )
  }

  /** Not when it lacks a KEK that is not the common one. */
  #isAboutTheToken(request: KekRequest, { code }: KmsError): boolean {
    if (!this.#kek.isKnown || this.#isClosed) return false
    return request.op !== 'unwrap' || this.#kek.is(request.identity) || !notHere.includes(code)
  }

  /** The keys of all tokens that answer, since each may lack one. */
  async #list(options: CallOptions): Promise<HsmResult> {
    const asks = this.#members.map(async ({ hsm }) => hsm.call({ op: 'list' }, options))
    const outcomes = await gathered(asks, this.#clock)
    const results = outcomes.flatMap((outcome) => (outcome?.status === 'fulfilled' ? [outcome.value] : []))
    const [first, ...rest] = results
    if (first === undefined) {
      throw mostTelling(
        this.#members.flatMap((member, at) => {
          const outcome = outcomes[at]
          return outcome?.status === 'rejected' ? [{ member, error: asKmsError(outcome.reason) }] : []
        }),
      )
    }
    const others = rest.flatMap((each) => [each.identity, ...(each.others ?? [])])
    return { ...first, others: [...(first.others ?? []), ...others] }
  }
}
