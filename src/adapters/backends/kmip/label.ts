/** Which key has this label? Exactly one that is Active, or none is used. */
import { KmsError } from '../../../ports/errors.js'
import { MAX_LOCATED } from './calls.js'
import { stateRefusal, type Kek } from './kek.js'
import { states } from './tags.js'

/** What the server is asked. */
export interface Directory {
  /** @param state `undefined`: in any. */
  locate(label: string, state: number | undefined): Promise<readonly string[]>
  attributes(uid: string): Promise<Kek>
}

/**
 * Servers may take labels for patterns, and may pass over what they do not filter by: each hit is looked at.
 *
 * @throws {KmsError} `ERR_KEY_NOT_FOUND`: none has it; `ERR_KEY_UNUSABLE`: several, and it is not for us to choose;
 * as stateRefusal says when the only one is not Active.
 */
export async function onlyOne(label: string, service: string, directory: Directory): Promise<Kek> {
  const active = await named(label, states.ACTIVE, service, directory)
  const found = active.filter((kek) => stateRefusal(kek, service) === undefined)
  const [only, ...others] = found
  if (only !== undefined && others.length === 0) return only
  const where = `the label ${JSON.stringify(label)} at ${service}`
  if (only !== undefined) {
    const text = `${found.length} Active keys have ${where}: ${found.map(({ uid }) => uid).join(', ')}; name one by keyId, or leave the label to one`
    throw new KmsError('ERR_KEY_UNUSABLE', text)
  }
  const [retired, ...more] = await named(label, undefined, service, directory)
  if (retired === undefined) {
    const text = `no key has ${where}, or the server does not show it to us; look at the label and at whom the key belongs to`
    throw new KmsError('ERR_KEY_NOT_FOUND', text)
  }
  const refusal = stateRefusal(retired, service)
  if (more.length === 0 && refusal !== undefined) throw refusal
  throw new KmsError(
    'ERR_KEY_DISABLED',
    `no key with ${where} is Active (there are ${more.length + 1}); activate one`,
  )
}

async function named(
  label: string,
  state: number | undefined,
  service: string,
  directory: Directory,
): Promise<readonly Kek[]> {
  const uids = [...new Set(await directory.locate(label, state))]
  if (uids.length >= MAX_LOCATED) {
    const text = `${service} finds ${uids.length} keys for the label ${JSON.stringify(label)}; name one by keyId`
    throw new KmsError('ERR_KEY_UNUSABLE', text)
  }
  const keks: Kek[] = []
  for (const uid of uids) {
    try {
      keks.push(await directory.attributes(uid))
    } catch (error) {
      // Destroyed since it was located, or never ours to see: that says nothing of the others.
      if (!(error instanceof KmsError) || error.code !== 'ERR_KEY_NOT_FOUND') throw error
    }
  }
  // A server that tells no names is believed: it found the key by its name.
  return keks.filter(({ names }) => names.length === 0 || names.includes(label))
}
