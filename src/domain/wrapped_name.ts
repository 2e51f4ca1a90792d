/** The name under which an unwrapped DEK is held: its wrapped form, made short. */
import { hash } from 'node:crypto'
import type { WrappedDek } from '../ports/key_wrapper.js'

/** SHA-256 over the key id behind its length, then the wrapped DEK: attackers choose both, so no two may collide. */
export function nameOfWrapped({ keyId, bytes }: WrappedDek): string {
  const all = Buffer.allocUnsafe(1 + keyId.length + bytes.length)
  all.writeUInt8(keyId.length)
  all.write(keyId, 1, 'latin1')
  all.set(bytes, 1 + keyId.length)
  return hash('sha256', all, 'base64')
}
