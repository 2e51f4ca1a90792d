/** A token in memory that answers, fails or hangs as a test says, for a group of several. */
import type { MemberOptions } from '../../../src/adapters/backends/pkcs11/group_member.js'
import type { Hsm } from '../../../src/adapters/backends/pkcs11/hsm.js'
import type {
  DecryptRequest,
  HsmRequest,
  HsmResult,
  KekIdentity,
  KekRequest,
  Sealing,
} from '../../../src/adapters/backends/pkcs11/shared/messages.js'
import { KmsError, type KmsErrorCode } from '../../../src/ports/errors.js'
import type { CallOptions } from '../../../src/ports/key_wrapper.js'

export function kekOf(name: string): KekIdentity {
  return { keyType: 'AES-256', ckaId: Buffer.from(name), checkValue: Buffer.from('abc') }
}

export class FakeMember implements Hsm {
  readonly name: string
  readonly weight: number
  /** Every request, in order. */
  readonly asked: HsmRequest['op'][] = []
  /** Whether it was asked how it wraps as well, for each `identify` in order. */
  readonly askedToSeal: boolean[] = []
  /** What was told of its health, in order. */
  readonly health: boolean[] = []
  /** Every answer that was given. */
  readonly answers: HsmResult[] = []
  kek: KekIdentity
  canWrap = true
  /** It fails so at whatever needs wrapping. */
  sealingFails: KmsErrorCode | undefined
  /** What tells its HMAC key from others. */
  companion: string | undefined
  /** Ignores that nobody waits any more. */
  isStubborn = false
  isClosed = false
  /** How many of its callers left before it answered. */
  left = 0
  readonly #fails = new Map<HsmRequest['op'], KmsErrorCode>()
  #isHung = false
  #hung: (() => void)[] = []

  constructor(name: string, weight = 1, kek = kekOf('one')) {
    this.name = name
    this.weight = weight
    this.kek = kek
  }

  get options(): MemberOptions {
    const { name, weight } = this
    return { name, weight, hsm: this, onHealth: (isUp) => this.health.push(isUp) }
  }

  get isUp(): boolean {
    return this.health.at(-1) === true
  }

  /** From now on these requests fail so; without any, all do. */
  fail(code: KmsErrorCode, ...ops: HsmRequest['op'][]): void {
    const all = ['identify', 'list', 'wrap', 'unwrap', 'decrypt'] as const
    for (const op of ops.length > 0 ? ops : all) this.#fails.set(op, code)
  }

  mend(): void {
    this.#fails.clear()
    this.#isHung = false
    this.release()
  }

  /** Whatever hangs goes on. */
  release(): void {
    for (const answer of this.#hung.splice(0)) answer()
  }

  /** What hangs goes on hanging; what comes from now on does not. */
  hangNoMore(): void {
    this.#isHung = false
  }

  hang(): void {
    this.#isHung = true
  }

  /** How often it was asked for one of these since the last time. */
  count(...ops: HsmRequest['op'][]): number {
    return this.asked.splice(0).filter((op) => ops.length === 0 || ops.includes(op)).length
  }

  async decrypt(request: DecryptRequest, options: CallOptions): Promise<Uint8Array> {
    return (await this.#answer(request, options)).bytes
  }

  async call(request: KekRequest, options: CallOptions): Promise<HsmResult> {
    return this.#answer(request, options)
  }

  async #answer(request: HsmRequest, { signal }: CallOptions): Promise<HsmResult> {
    if (this.isClosed) throw new KmsError('ERR_SHUTTING_DOWN', 'closed')
    this.asked.push(request.op)
    if (request.op === 'identify') this.askedToSeal.push(request.seals)
    if (this.#isHung) {
      await new Promise<void>((resolve, reject) => {
        this.#hung.push(resolve)
        const leave = (): void => {
          this.left += 1
          reject(new KmsError('ERR_DEADLINE_EXCEEDED', 'the caller left'))
        }
        if (!this.isStubborn) signal?.addEventListener('abort', leave)
      })
    }
    const code = this.#fails.get(request.op)
    if (code !== undefined) throw new KmsError(code, `${request.op} failed`)
    const needsToSeal = request.op === 'wrap' || (request.op === 'identify' && request.seals)
    if (needsToSeal && this.sealingFails !== undefined)
      throw new KmsError(this.sealingFails, 'it cannot seal')
    if (request.op === 'wrap' && !this.canWrap) throw new KmsError('ERR_KEY_UNUSABLE', 'it cannot wrap')
    const { companion } = this
    const sealing: Sealing = {
      mechanism: !this.canWrap ? 'none' : companion === undefined ? 'aes-gcm' : 'aes-cbc-hmac',
      why: 'it says so',
      ...(companion === undefined ? {} : { companionCheck: Buffer.from(companion) }),
    }
    const answer: HsmResult = {
      identity: this.kek,
      bytes: request.op === 'identify' ? Buffer.alloc(0) : Buffer.from(`${request.op} by ${this.name}`),
      ...(request.op === 'identify' && request.seals ? { sealing } : {}),
    }
    this.answers.push(answer)
    return answer
  }

  async close(): Promise<void> {
    this.isClosed = true
    await Promise.resolve()
  }
}
