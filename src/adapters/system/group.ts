/** Group names of this machine. */
import { readFile } from 'node:fs/promises'
import { KmsError } from '../../ports/errors.js'

/**
 * The number of a group given by name or number, from /etc/group (group(5)); `undefined` for an empty text.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID` for a name that is not there.
 */
export async function resolveGroup(group: string): Promise<number | undefined> {
  if (group === '') return undefined
  if (/^\d+$/.test(group)) return Number(group)
  const lines = (await readFile('/etc/group', 'utf8').catch(() => '')).split('\n')
  const fields = lines.map((line) => line.split(':')).find(([name]) => name === group)
  const gid = Number(fields?.[2])
  if (fields?.[2] !== undefined && Number.isInteger(gid)) return gid
  throw new KmsError(
    'ERR_CONFIG_INVALID',
    `server.socketGroup: there is no group ${group} here; give its number`,
  )
}
