/** What `kmsplugin check` says about the socket, without touching it. */
import { access, constants, lstat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { asKmsError } from '../../ports/errors.js'
import type { Finding } from '../../ports/operations.js'
import { folderProblem, lengthProblem, probeSocket } from './socket_path.js'

export async function checkSocket(
  path: string,
  uid: number,
  gid: number | undefined,
): Promise<readonly Finding[]> {
  const subject = 'server.socket'
  const tooLong = lengthProblem(path)
  if (tooLong !== undefined) return [{ level: 'error', subject, text: tooLong }]
  const folder = dirname(path)
  const stat = await lstat(folder).catch(() => undefined)
  if (stat === undefined) {
    const parentIsWritable = await access(dirname(folder), constants.W_OK).then(
      () => true,
      () => false,
    )
    if (parentIsWritable)
      return [{ level: 'ok', subject, text: `the folder ${folder} will be made at start` }]
    return [
      { level: 'error', subject, text: `the folder ${folder} does not exist and we cannot make it; make it` },
    ]
  }
  const problem = await folderProblem(path, uid)
  if (problem !== undefined) return [{ level: 'error', subject, text: problem }]
  const findings: Finding[] = []
  if (gid !== undefined && (stat.mode & (stat.gid === gid ? 0o010 : 0o001)) === 0) {
    findings.push({
      level: 'warning',
      subject,
      text: `group ${gid} cannot reach the socket through ${folder}; run chgrp ${gid} ${folder} and chmod g+x ${folder}`,
    })
  }
  try {
    const state = await probeSocket(path, uid)
    const text = {
      absent: 'free',
      dead: 'held by a dead socket, replaced at start',
      living: 'served by a plugin',
    }
    findings.push({ level: 'ok', subject, text: `${path} is ${text[state]}` })
  } catch (error) {
    findings.push({ level: 'error', subject, text: asKmsError(error).message })
  }
  return findings
}
