/** Counts that must be exact: a benchmark whose subject asks the KMS too often has failed, however fast it was. */

/** Does `work` and fails unless the KMS was asked for exactly `unwraps`, and for nothing else. */
export async function withUnwraps(kms, unwraps, work) {
  await kms.takeCounts()
  const result = await work()
  const asked = await kms.takeCounts()
  if (asked.decrypt !== unwraps || asked.encrypt > 0) {
    throw new Error(`${unwraps} DEKs, but the KMS was asked ${JSON.stringify(asked)}`)
  }
  return { ...result, unwraps }
}
