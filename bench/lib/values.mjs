/** Values that the plugin sealed in an earlier life, so that it meets their DEKs cold. */
import { randomBytes } from 'node:crypto'
import { METHOD } from './kms_messages.mjs'

export function plaintexts(count) {
  return Array.from({ length: count }, () => randomBytes(32))
}

/**
 * Requests that open `count` values, under one DEK each `perDek` of them, in an order in which those of one DEK do not
 * stand together.
 *
 * @returns `dekCount`, and what {@link Load.run} takes.
 */
export async function valuesOf(bench, { api, count, perDek }) {
  const { subjects, kms, load } = bench
  const plugin = await subjects.plugin(kms.config({ dekMaxSeals: perDek }))
  try {
    const path = api === 'v1' ? METHOD.v1Encrypt : METHOD.v2Encrypt
    await kms.takeCounts()
    // One in flight: the values of one DEK are those in a row.
    const sealed = await load.sealed(plugin, {
      path,
      api,
      plaintexts: plaintexts(count),
      inFlight: 1,
      stride: perDek,
    })
    const { decrypt } = await kms.takeCounts()
    // The first DEK was proved at the start, each other by one unwrap.
    const dekCount = decrypt + 1
    if (dekCount !== Math.ceil(count / perDek))
      throw new Error(`${dekCount} DEKs sealed ${count} values, ${perDek} each`)
    return { ...sealed, dekCount, path: api === 'v1' ? METHOD.v1Decrypt : METHOD.v2Decrypt, count }
  } finally {
    await plugin.stop()
  }
}
