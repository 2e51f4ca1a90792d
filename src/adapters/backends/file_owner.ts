/** Whose files does the plugin trust? */
import { stat } from 'node:fs/promises'
import { userInfo } from 'node:os'

/** Whether a file's owner is root or the user that the plugin runs as. */
export async function isTrustedOwner(uid: number): Promise<boolean> {
  return uid === 0 || uid === (await ownUid())
}

/** A container's user often has no line in /etc/passwd; then /proc knows. */
async function ownUid(): Promise<number> {
  try {
    return userInfo().uid
  } catch {
    return (await stat('/proc/self')).uid
  }
}
