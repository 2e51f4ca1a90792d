/** What is one call on its way through the HSM process? */
import { copied } from '../shared/kek_identity.js'
import type { DecryptRequest, HsmRequest } from '../shared/messages.js'

export interface Job {
  readonly id: number
  readonly request: HsmRequest
  /** Was sent back once for want of a login. */
  wasLoggedOut: boolean
  /** Was sent back once to a module initialised anew. */
  wasRenewed: boolean
}

/** Own memory for what stays here while a thread works, and no more than it needs: a clone copies all of it. */
export function taken(request: HsmRequest): HsmRequest {
  if (request.op === 'wrap') {
    const dek = Uint8Array.from(request.dek)
    request.dek.fill(0)
    return { op: 'wrap', dek }
  }
  if (request.op === 'unwrap') {
    return { op: 'unwrap', wrapped: Uint8Array.from(request.wrapped), identity: copied(request.identity) }
  }
  if (request.op === 'decrypt') return takenDecrypt(request)
  return request
}

function takenDecrypt({ op, algorithm, bytes, iv, aad, key }: DecryptRequest): DecryptRequest {
  const { label, ckaId } = key
  return {
    op,
    algorithm,
    bytes: Uint8Array.from(bytes),
    ...(iv === undefined ? {} : { iv: Uint8Array.from(iv) }),
    ...(aad === undefined ? {} : { aad: Uint8Array.from(aad) }),
    key: {
      ...(label === undefined ? {} : { label }),
      ...(ckaId === undefined ? {} : { ckaId: Uint8Array.from(ckaId) }),
    },
  }
}

/** When the job is over. */
export function wipe(job: Job | undefined): void {
  if (job?.request.op === 'wrap') job.request.dek.fill(0)
}
