/** Errors as APIs of Google write them in REST (AIP-193). */
import type { FakeAnswer } from './fake_server.js'

export function googleError(
  code: number,
  status: string,
  message: string,
  details?: readonly object[],
): FakeAnswer {
  return {
    status: code,
    body: { error: { code, message, status, ...(details === undefined ? {} : { details }) } },
  }
}

export function reasonError(code: number, status: string, reason: string): FakeAnswer {
  const info = { '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason, domain: 'googleapis.com' }
  return googleError(code, status, `refused: ${reason}`, [info])
}

export function deniedAnswer(permission: string, resource: string): FakeAnswer {
  const info = {
    '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
    reason: 'IAM_PERMISSION_DENIED',
    domain: 'iam.googleapis.com',
    metadata: { permission, resource },
  }
  const text = `Permission '${permission}' denied on resource '${resource}' (or it may not exist).`
  return googleError(403, 'PERMISSION_DENIED', text, [info])
}

/** A version that is not enabled. */
export function stateAnswer(subject: string, state: string): FakeAnswer {
  const details = [
    {
      '@type': 'type.googleapis.com/google.rpc.PreconditionFailure',
      violations: [{ type: `KEY_${state}`, subject }],
    },
  ]
  const text = `${subject} is not enabled, current state is: ${state}.`
  return googleError(400, 'FAILED_PRECONDITION', text, details)
}
