/** Group names of this machine. */
import { readFile } from 'node:fs/promises'
import { KmsError } from '../../ports/errors.js'

/**
 * The number of a group given by name or number; `undefined` for an empty text.
 *
 * @param file In the form of group(5).
 * @throws {KmsError} `ERR_CONFIG_INVALID` for a name that is not there.
 */
export async function resolveGroup(group: string, file = '/etc/group'): Promise<number | undefined> {
  if (group === '') return undefined
  if (/^\d+$/.test(group)) return Number(group)
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n')
  const fields = lines.map((line) => line.split(':')).find(([name]) => name === group)
  const gid = fields?.[2]
  if (gid !== undefined && /^\d+$/.test(gid)) return Number(gid)
  throw new KmsError(
    'ERR_CONFIG_INVALID',
    `server.socketGroup: there is no group ${group} here; give its number`,
  )
}
