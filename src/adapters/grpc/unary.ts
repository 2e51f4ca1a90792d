/**
 * What every call has in common: a deadline and a signal for the core, one answer, one log line, one metric.
 *
 * Rule: nothing thrown here reaches grpc-js, which lets a rejected handler end the process.
 */
import type { handleUnaryCall, sendUnaryData, ServerUnaryCall, StatusObject } from '@grpc/grpc-js'
import type { Clock } from '../../ports/clock.js'
import { asKmsError, errorCodes, KmsError, type KmsErrorCode } from '../../ports/errors.js'
import type { CallOptions } from '../../ports/key_wrapper.js'
import type { LogFields, Logger } from '../../ports/logger.js'
import type { ApiOperation, ApiVersion, Metrics, Outcome } from '../../ports/metrics.js'
import { OptionsOfCall } from './options_of_call.js'
import { malformedRequest } from './protocol.js'
import { wireErrors } from './status.js'
import { SuccessLog } from './success_log.js'

export interface UnaryDeps {
  readonly clock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  /** Logs each success at level info, however many there are. */
  readonly logAll: boolean
}

export interface UnaryMethod<Request, Response> {
  readonly api: ApiVersion
  readonly operation: ApiOperation
  /** Whether a success is worth a line at level info: rare and of consequence. */
  readonly notable?: boolean
  uid?(request: Request): string
  /** Answers, or throws a `KmsError`. Fields of `log` go into the line of this call. */
  handle(
    request: Request,
    options: CallOptions,
    log: (fields: LogFields) => void,
  ): Response | Promise<Response>
}

/** kube-apiserver's UIDs are 36 characters. */
const UID_MAX_LENGTH = 256

export function unary<Request, Response>(
  deps: UnaryDeps,
  method: UnaryMethod<Request, Response>,
): handleUnaryCall<Request, Response> {
  const isShown = method.notable === true || deps.logAll
  const successes = new SuccessLog(deps.logger, { level: isShown ? 'info' : 'debug', all: deps.logAll })
  return (call, callback) => {
    answer(deps, method, successes, call, callback).catch(() => callback(onWire('ERR_INTERNAL')))
  }
}

async function answer<Request, Response>(
  deps: UnaryDeps,
  method: UnaryMethod<Request, Response>,
  successes: SuccessLog,
  call: ServerUnaryCall<Request, Response>,
  callback: sendUnaryData<Response>,
): Promise<void> {
  const startMs = deps.clock.nowMs()
  let options: OptionsOfCall | undefined
  let fields: LogFields | undefined
  let error: KmsError | undefined
  let response: Response | undefined
  try {
    if ((call.request as unknown) === malformedRequest) {
      throw new KmsError('ERR_INVALID_REQUEST', 'the bytes of the request are no message of this method')
    }
    const deadlineMs = startMs + remainingMs(call.getDeadline())
    options = new OptionsOfCall(call, deadlineMs, uidOf(method, call.request))
    response = await method.handle(call.request, options, (more) => {
      fields = fields === undefined ? more : { ...fields, ...more }
    })
  } catch (thrown) {
    error = asKmsError(thrown)
  }
  options?.answered()
  report(deps, method, successes, { startMs, uid: options?.uid, fields, error })
  if (error === undefined) {
    callback(null, response)
    return
  }
  callback(onWire(error.code))
}

function onWire(errorCode: KmsErrorCode): Partial<StatusObject> {
  const { status: code, text: details } = wireErrors[errorCode]
  return { code, details }
}

function uidOf<Request>(method: UnaryMethod<Request, unknown>, request: Request): string | undefined {
  const uid = method.uid?.(request)
  if (uid !== undefined && uid.length > UID_MAX_LENGTH) {
    throw new KmsError('ERR_INVALID_REQUEST', `a uid has at most ${UID_MAX_LENGTH} characters`)
  }
  return uid
}

/** grpc-js gives the caller's deadline on the wall clock; `Infinity` when there is none. */
function remainingMs(deadline: Date | number): number {
  return Math.max(0, Number(deadline) - Date.now())
}

interface Answered {
  readonly startMs: number
  readonly uid: string | undefined
  readonly fields: LogFields | undefined
  readonly error: KmsError | undefined
}

function report(
  { clock, logger, metrics }: UnaryDeps,
  { api, operation }: UnaryMethod<never, unknown>,
  successes: SuccessLog,
  { startMs, uid, fields, error }: Answered,
): void {
  const nowMs = clock.nowMs()
  const spentMs = nowMs - startMs
  const outcome: Outcome = error?.code ?? 'OK'
  metrics.requestFinished(api, operation, outcome, spentMs / 1000)
  const line = (): LogFields => ({
    api,
    operation,
    outcome,
    durationMs: Math.round(spentMs * 1000) / 1000,
    ...(uid === undefined ? {} : { uid }),
    ...fields,
  })
  if (error === undefined) {
    successes.note(nowMs, line)
    return
  }
  const failure: LogFields = { ...line(), fault: error.fault, reason: error.message }
  if (errorCodes[error.code].fault === 'plugin') logger.error('request failed', failure)
  else logger.warn('request failed', failure)
}
