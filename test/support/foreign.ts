/** A value of another plugin, opened as the plugin opens it, without the service round it. */
import type { Format } from '../../src/adapters/formats/format.js'
import type { StoredValue } from '../../src/ports/foreign.js'
import type { KeyWrapper } from '../../src/ports/key_wrapper.js'

/** @throws {KmsError} Of the format or the backend. */
export async function openForeign<Options>(
  format: Format<Options>,
  options: Options,
  value: Pick<StoredValue, 'ciphertext'> & Partial<StoredValue>,
  wrapper: KeyWrapper,
): Promise<Uint8Array> {
  const whole = { keyId: undefined, annotations: {}, ...value }
  const plan = format.plan(whole, options, { allowUnauthenticated: true })
  const answers = await Promise.all(
    plan.questions.map(async (question) => {
      if (!('bytes' in question) || wrapper.decryptNative === undefined)
        throw new Error('nobody can answer this')
      return wrapper.decryptNative(question, { deadlineMs: Infinity })
    }),
  )
  return plan.finish(answers)
}
