/** How calls end in time: work gets a signal and a deadline, and its caller is answered even if it ignores both. */
import type { Clock } from '../ports/clock.js'
import { KmsError } from '../ports/errors.js'
import type { CallOptions } from '../ports/key_wrapper.js'

/** Why a sleep is ended early. Without a reason Node.js makes an error with a stack, for each call that ends in time. */
const WORK_IS_DONE = 'the work is done'

/**
 * Runs `work` until `deadlineMs` on the clock or until `outer.signal` aborts, whichever comes first, and then
 * rejects at once with `ERR_DEADLINE_EXCEEDED` or with the reason of `outer.signal`. The result of work that
 * comes later is dropped.
 */
export async function withDeadline<T>(
  clock: Clock,
  deadlineMs: number,
  outer: Partial<CallOptions>,
  work: (options: CallOptions) => Promise<T>,
): Promise<T> {
  const controller = new AbortController()
  const done = new AbortController()
  const effectiveMs = Math.min(deadlineMs, outer.deadlineMs ?? Infinity)
  const leave = () => controller.abort(reasonOf(outer.signal))
  if (outer.signal?.aborted === true) leave()
  outer.signal?.addEventListener('abort', leave, { once: true })
  void clock.sleep(Math.max(0, effectiveMs - clock.nowMs()), done.signal).then(() => {
    // Woken because the work is done: its signal stays as it is.
    if (done.signal.aborted) return
    controller.abort(deadlineExceeded())
  })
  const options: CallOptions = { deadlineMs: effectiveMs, signal: controller.signal, uid: outer.uid }
  try {
    if (effectiveMs <= clock.nowMs()) throw deadlineExceeded()
    return await untilAborted(controller.signal, async () => work(options))
  } finally {
    outer.signal?.removeEventListener('abort', leave)
    done.abort(WORK_IS_DONE)
  }
}

/** The result of `work`, or the reason of `signal` as soon as it aborts. Work that was not begun is not begun then. */
export async function untilAborted<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  if (signal === undefined) return work()
  if (signal.aborted) throw reasonOf(signal)
  let leave!: () => void
  const aborted = new Promise<never>((_, reject) => {
    leave = () => reject(reasonOf(signal))
    signal.addEventListener('abort', leave, { once: true })
  })
  try {
    return await Promise.race([work(), aborted])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}

/** For work that needs no signal. @throws {KmsError} `ERR_DEADLINE_EXCEEDED` when nobody wants its result any more. */
export function assertInTime(clock: Clock, { deadlineMs }: CallOptions): void {
  if (deadlineMs <= clock.nowMs()) throw deadlineExceeded()
}

function deadlineExceeded(): KmsError {
  return new KmsError('ERR_DEADLINE_EXCEEDED', 'the deadline passed before the answer came')
}

/** Why a signal aborted, as an error of ours. */
function reasonOf(signal: AbortSignal | undefined): KmsError {
  const reason: unknown = signal?.reason
  return reason instanceof KmsError ? reason : new KmsError('ERR_CANCELLED', 'the caller went away')
}
