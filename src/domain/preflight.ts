/** `kmsplugin check`: what the backends and the socket say, then the proof by a round trip through the KEK. */
import { randomFillSync, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../ports/clock.js'
import { asKmsError, KmsError } from '../ports/errors.js'
import { DEK_BYTES, type CallOptions } from '../ports/key_wrapper.js'
import type { Finding, Preflight } from '../ports/operations.js'
import { withDeadline } from './deadline.js'
import type { KeyRing, RingKey } from './key_ring.js'

/** One thing to look at. */
export interface Check {
  readonly subject: string
  run(): Promise<readonly Finding[]>
}

/** @param timeoutMs How long the proof of one key may take. */
export function createPreflight(
  checks: readonly Check[],
  keys: KeyRing,
  clock: Clock,
  timeoutMs: number,
): Preflight {
  const prove = (key: RingKey, work: (options: CallOptions) => Promise<string>): Check => ({
    subject: `keys.${key.name}`,
    run: async () => {
      const text = await withDeadline(clock, clock.nowMs() + timeoutMs, {}, work)
      return [{ level: 'ok', subject: `keys.${key.name}`, text }]
    },
  })
  return {
    async run() {
      const proofs: readonly Check[] = [
        prove(keys.primary, async (options) => roundTrip(keys.primary, options)),
        // A key that only opens is never asked to wrap.
        ...keys.decryptOnly.map((key) =>
          prove(key, async (options) => `found ${await key.wrapper.currentKeyId(options)} (decrypt-only)`),
        ),
      ]
      try {
        const findings: Finding[] = []
        for (const check of checks) findings.push(...(await runOne(check)))
        const failed = findings.filter(({ level }) => level === 'error').map(({ subject }) => subject)
        for (const proof of proofs) {
          // A key that does not open is not tried again: a wrong PIN would count twice.
          const hasFailed = failed.some(
            (subject) => subject === proof.subject || subject.startsWith(`${proof.subject}.`),
          )
          if (!hasFailed) findings.push(...(await runOne(proof)))
        }
        return findings
      } finally {
        await keys.close()
      }
    },
  }
}

async function runOne(check: Check): Promise<readonly Finding[]> {
  try {
    return await check.run()
  } catch (thrown) {
    const error = asKmsError(thrown)
    return [{ level: 'error', subject: check.subject, text: `${error.message} (${error.code})` }]
  }
}

async function roundTrip({ wrapper }: RingKey, options: CallOptions): Promise<string> {
  const dek = randomFillSync(Buffer.allocUnsafeSlow(DEK_BYTES))
  try {
    const wrapped = await wrapper.wrap(dek, options)
    const back = await wrapper.unwrap(wrapped, options)
    const same = back.length === dek.length && timingSafeEqual(back, dek)
    back.fill(0)
    if (!same) {
      throw new KmsError('ERR_WRAP_UNVERIFIED', 'what was wrapped does not unwrap to the same bytes')
    }
    return `wraps and unwraps; key id ${wrapped.keyId}, ${wrapped.bytes.length} bytes wrapped`
  } finally {
    dek.fill(0)
  }
}
