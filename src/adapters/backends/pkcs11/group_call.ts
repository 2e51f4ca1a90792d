/** How is one call answered by whichever of several tokens can, within the caller's deadline? */
import type { Clock } from '../../../ports/clock.js'
import { asKmsError, KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { GroupMember } from './group_member.js'

/** One that had less time is not called slow: the caller came late. */
const SLOW_MS = 100

/** How long the others are waited for at least, where all are asked at once. */
const GRACE_MS = 500

/** What is wiped when nobody wants it any more. */
interface Wipeable {
  readonly bytes: Uint8Array
}

export interface GroupCall<T extends Wipeable> {
  /** In the order in which they are asked. */
  readonly members: readonly GroupMember[]
  /** Asks one; nobody wants its answer once `signal` aborts. */
  readonly ask: (member: GroupMember, signal: AbortSignal) => Promise<T>
  /** It failed or was too slow, and that says something about it. */
  readonly blame: (member: GroupMember, error: KmsError) => void
  /** The bytes may be at fault as well as the token. */
  readonly isDoubt: (error: KmsError) => boolean
  /** It opens what no other one can, and not what the others can. */
  readonly isOdd: (member: GroupMember) => boolean
}

export interface MemberFailure {
  readonly member: GroupMember
  readonly error: KmsError
}

type Answer<T> = MemberFailure | { readonly member: GroupMember; readonly result: T }

interface Ask<T> {
  readonly sinceMs: number
  readonly answer: Promise<Answer<T>>
}

/**
 * Asks one after another, and the next one beside it when one has not answered within its share: what is left until the
 * deadline, divided by how many are not asked yet. The first good answer is taken, later ones are wiped; an error in data
 * is final.
 *
 * A doubt blames nobody unless another one opens the same bytes. After `ERR_UNWRAP_AMBIGUOUS` of a token that is up, those
 * that are not are not waited for, except one that is odd.
 *
 * @throws {KmsError} the first one in data, else {@link mostTelling} of all.
 */
export async function askInTurn<T extends Wipeable>(
  { members, ask, blame, isDoubt, isOdd }: GroupCall<T>,
  options: CallOptions,
  clock: Clock,
): Promise<T> {
  const over = new AbortController()
  const signal = options.signal === undefined ? over.signal : AbortSignal.any([over.signal, options.signal])
  let toAsk = [...members]
  const underWay = new Map<GroupMember, Ask<T>>()
  const failures: MemberFailure[] = []
  const begin = (member: GroupMember): void => {
    const answer = ask(member, signal).then(
      (result): Answer<T> => ({ member, result }),
      (error: unknown): Answer<T> => ({ member, error: asKmsError(error) }),
    )
    underWay.set(member, { sinceMs: clock.nowMs(), answer })
  }
  const blameSlow = (member: GroupMember, error: KmsError, { sinceMs }: Ask<T>): void => {
    if (clock.nowMs() - sinceMs >= SLOW_MS) blame(member, error)
  }
  try {
    for (;;) {
      const isAnswered = failures.some(({ member, error }) => isAmbiguous(error) && member.isUp)
      if (isAnswered) toAsk = toAsk.filter((member) => member.isUp || isOdd(member))
      const next = toAsk.shift()
      if (next !== undefined) begin(next)
      if (underWay.size === 0) throw mostTelling(failures)
      const shareMs = (options.deadlineMs - clock.nowMs()) / (toAsk.length + 1)
      const answer = await firstOf([...underWay.values()], shareMs, signal, clock)
      if (hasLeft(options.signal)) throw tooSlow()
      if (answer === undefined) {
        for (const [member, asked] of underWay) blameSlow(member, tooSlow(), asked)
        if (toAsk.length > 0 && !signal.aborted && clock.nowMs() < options.deadlineMs) continue
        throw mostTelling([
          ...failures,
          ...[...underWay.keys()].map((member) => ({ member, error: tooSlow() })),
        ])
      }
      const { member } = answer
      const asked = underWay.get(member)
      underWay.delete(member)
      if ('result' in answer) {
        const doubts = isOdd(member) ? [] : failures.filter((failure) => isDoubt(failure.error))
        for (const doubt of doubts) blame(doubt.member, doubt.error)
        return answer.result
      }
      const { error } = answer
      if (error.fault === 'data' || error.fault === 'caller') throw error
      failures.push(answer)
      if (error.code === 'ERR_DEADLINE_EXCEEDED' && asked !== undefined) blameSlow(member, error, asked)
      else if (!isDoubt(error)) blame(member, error)
    }
  } finally {
    over.abort()
    for (const { answer } of underWay.values()) void answer.then(wipe)
  }
}

/**
 * What came of asks that were all begun at once; `undefined` for those that are still open when one has answered and the
 * others have had as long again, {@link GRACE_MS} at least; or when one has failed and none has answered so long after.
 */
export async function gathered<T>(
  asks: readonly Promise<T>[],
  clock: Clock,
): Promise<readonly (PromiseSettledResult<T> | undefined)[]> {
  const startedMs = clock.nowMs()
  const outcomes = asks.map((): PromiseSettledResult<T> | undefined => undefined)
  const all = new AbortController()
  const settled = asks.map(async (ask, at) => {
    ;[outcomes[at]] = await Promise.allSettled([ask])
  })
  void Promise.all(settled).then(() => all.abort())
  const answered = new AbortController()
  const stop = AbortSignal.any([all.signal, answered.signal])
  const inVain = new Promise<void>((resolve) => {
    for (const ask of asks) ask.catch(() => void clock.sleep(GRACE_MS, stop).then(resolve))
  })
  const first = Promise.any(asks).then(
    () => true,
    () => false,
  )
  const hasAnswer = await Promise.race([first, inVain.then(() => false)])
  answered.abort()
  if (hasAnswer) await clock.sleep(Math.max(GRACE_MS, clock.nowMs() - startedMs), all.signal)
  return [...outcomes]
}

/**
 * One error for those of all: a doubt about data, since only the caller can settle it; else an outage, since it may
 * pass; an operator's fault only when there is nothing else.
 */
export function mostTelling(failures: readonly MemberFailure[]): KmsError {
  const doubts = failures.filter(({ error }) => isAmbiguous(error))
  const passing = failures.filter(({ error }) => error.fault !== 'operator')
  const telling = [doubts, passing, failures].find(({ length }) => length > 0) ?? []
  const [code = 'ERR_BACKEND_UNAVAILABLE', ...others] = new Set(telling.map(({ error }) => error.code))
  const text = failures.map(({ member, error }) => `${member.name}: ${error.message}`).join('; ')
  const isMixedOutage = telling === passing && others.length > 0
  return new KmsError(isMixedOutage ? 'ERR_BACKEND_UNAVAILABLE' : code, text)
}

/** `undefined` when `withinMs` have passed or `signal` aborts before. */
async function firstOf<T>(
  asks: readonly Ask<T>[],
  withinMs: number,
  signal: AbortSignal,
  clock: Clock,
): Promise<Answer<T> | undefined> {
  const answered = new AbortController()
  const passed = clock.sleep(Math.max(0, withinMs), AbortSignal.any([signal, answered.signal]))
  try {
    return await Promise.race([...asks.map(async ({ answer }) => answer), passed.then(() => undefined)])
  } finally {
    answered.abort()
  }
}

/** Not when the deadline passed: then whoever did not answer was slow. */
function hasLeft(signal: AbortSignal | undefined): boolean {
  if (signal?.aborted !== true) return false
  const reason: unknown = signal.reason
  return !(reason instanceof KmsError && reason.code === 'ERR_DEADLINE_EXCEEDED')
}

function isAmbiguous({ code }: KmsError): boolean {
  return code === 'ERR_UNWRAP_AMBIGUOUS'
}

function tooSlow(): KmsError {
  return new KmsError('ERR_DEADLINE_EXCEEDED', 'did not answer within its share of the time')
}

function wipe(answer: Answer<Wipeable>): void {
  if ('result' in answer) answer.result.bytes.fill(0)
}
