/** What the probes found, and what follows from it: whether we seal, what Status says, whether we are ready. */
import type { Clock } from '../ports/clock.js'
import { errorCodes, KmsError } from '../ports/errors.js'
import type { HealthReport, HealthSource, KeyHealth } from '../ports/health.js'
import type { ServiceStatus } from '../ports/kms_service.js'
import type { KeyRing } from './key_ring.js'
import type { Publication } from './publication.js'

/** A primary KEK that is gone, disabled or forbidden stops Status after this many probes in a row. */
const OPERATOR_FAULTS_BEFORE_ERROR = 2

interface Probed {
  readonly atMs: number
  readonly error: KmsError | undefined
}

/**
 * Rule: only the primary decides, and only its probes do. A bad ciphertext changes nothing here.
 *
 * Two answers on purpose (kubernetes#138950: a not-ok Status with a key id keeps kube-apiserver writing, a gRPC
 * error stops its writes after 3 minutes): an outage is reported or an error as the configuration says; a fault
 * that only an operator can end is an error, and stops sealing at once.
 */
export class Health implements HealthSource {
  readonly #keys: KeyRing
  readonly #publication: Publication
  readonly #onBackendOutage: 'report' | 'error'
  readonly #clock: Clock
  readonly #probed = new Map<string, Probed>()
  #operatorFaults = 0

  constructor(keys: KeyRing, publication: Publication, onBackendOutage: 'report' | 'error', clock: Clock) {
    this.#keys = keys
    this.#publication = publication
    this.#onBackendOutage = onBackendOutage
    this.#clock = clock
  }

  /** Notes the result of one probe. */
  record(key: string, error: KmsError | undefined): void {
    this.#probed.set(key, { atMs: this.#clock.nowMs(), error })
    if (key !== this.#keys.primary.name) return
    this.#operatorFaults = error?.fault === 'operator' ? this.#operatorFaults + 1 : 0
  }

  /** @throws {KmsError} When the last probe found that only an operator can make the primary seal again. */
  assertMaySeal(): void {
    const error = this.#primaryError
    if (error?.fault === 'operator') throw new KmsError(error.code, `sealing has stopped: ${error.message}`)
  }

  /** @throws {KmsError} As `KmsService.status` says. */
  status(): ServiceStatus {
    const keyId = this.#publication.keyId
    const error = this.#primaryError
    if (error !== undefined && this.#isStatusError(error)) throw new KmsError(error.code, error.message)
    if (keyId === undefined) throw new KmsError('ERR_STARTING', 'the primary key has not proved itself yet')
    if (error === undefined) return { keyId }
    return { keyId, problem: `${error.code}: ${errorCodes[error.code].meaning}` }
  }

  report(): HealthReport {
    const { primary, decryptOnly } = this.#keys
    return {
      ready: this.#publication.keyId !== undefined && this.#primaryError === undefined,
      keys: [
        this.#healthOf(primary.name, true),
        ...decryptOnly.map(({ name }) => this.#healthOf(name, false)),
      ],
    }
  }

  get #primaryError(): KmsError | undefined {
    return this.#probed.get(this.#keys.primary.name)?.error
  }

  #isStatusError(error: KmsError): boolean {
    if (error.fault === 'operator') return this.#operatorFaults >= OPERATOR_FAULTS_BEFORE_ERROR
    return this.#onBackendOutage === 'error'
  }

  #healthOf(key: string, primary: boolean): KeyHealth {
    const probed = this.#probed.get(key)
    if (probed === undefined) return { key, primary, outcome: primary ? 'ERR_STARTING' : 'untested' }
    return { key, primary, outcome: probed.error?.code ?? 'OK', ageMs: this.#clock.nowMs() - probed.atMs }
  }
}
