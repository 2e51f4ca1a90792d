/**
 * What is a raw value from etcd?
 *
 * The grammar of everything that kube-apiserver stores, told apart by the first bytes alone. Pure: no I/O, no key,
 * and odd bytes are an answer, never an error.
 */
import type { DescribeForeign } from '../../ports/foreign.js'
import type { DescribeEnvelope, Explanation, ValueExplainer } from '../../ports/operations.js'
import { explainJson, explainProtobuf, isJson, isProtobuf } from './identity.js'
import { explainKmsV1 } from './kms_v1.js'
import { explainKmsV2 } from './kms_v2.js'
import { explainAesCbc, explainAesGcm, explainSecretbox } from './local_schemes.js'
import { readPrefix, type Prefix } from './prefix.js'
import { Report } from './report.js'
import type { ExplainScheme, SchemeContext } from './scheme.js'

/** Every scheme that kube-apiserver writes, by `<scheme>:<version>` of its prefix. */
const schemes: ReadonlyMap<string, ExplainScheme> = new Map([
  ['kms:v1', explainKmsV1],
  ['kms:v2', explainKmsV2],
  ['aescbc:v1', explainAesCbc],
  ['aesgcm:v1', explainAesGcm],
  ['secretbox:v1', explainSecretbox],
])

/**
 * Explains values as etcd holds them, and bare envelopes of ours (an EncryptResponse's ciphertext).
 *
 * @param describeForeign Reads the values of other plugins; must not throw either.
 * @param describeEnvelope Reads the envelopes of this program; must not throw on bytes that are none.
 */
export function createValueExplainer(
  describeEnvelope: DescribeEnvelope,
  describeForeign: DescribeForeign = () => undefined,
): ValueExplainer {
  return {
    explain(value, keyNames) {
      const context: SchemeContext = { describeEnvelope, describeForeign, keyNames }
      const report = new Report()
      report.add('value bytes', value.length)
      const prefix = readPrefix(value)
      if (prefix !== undefined) return explainPrefixed(value, prefix, report, context)
      if (isProtobuf(value)) return explainProtobuf(value, report)
      if (isJson(value)) return explainJson(value, report)
      return explainBare(value, report, context)
    },
  }
}

function explainPrefixed(
  value: Uint8Array,
  { scheme, version, nameAt }: Prefix,
  report: Report,
  context: SchemeContext,
): Explanation {
  if (scheme !== '') report.add('scheme', scheme)
  if (version !== '') report.add('scheme version', version)
  const explain = schemes.get(`${scheme}:${version}`)
  if (explain !== undefined) return explain(value, nameAt, report, context)
  report.problem('no known scheme and version stand after "k8s:enc:" at byte 8')
  return report.finish('Encrypted by kube-apiserver in a way that this version does not know')
}

function explainBare(value: Uint8Array, report: Report, context: SchemeContext): Explanation {
  const envelope = context.describeEnvelope(value)
  if (envelope !== undefined) {
    report.addEnvelope(envelope, context.keyNames)
    return report.finish('An envelope of kmsplugin by itself, without the prefix that kube-apiserver stores')
  }
  const foreign = context.describeForeign({ ciphertext: value, keyId: undefined, annotations: {} })
  if (foreign !== undefined) {
    report.addForeign(foreign)
    return report.finish(
      `A value of ${foreign.writtenBy} by itself, without the prefix that kube-apiserver stores`,
    )
  }
  report.problem('the bytes at byte 0 begin no form that kube-apiserver stores, and no envelope of kmsplugin')
  return report.finish('Unknown')
}
