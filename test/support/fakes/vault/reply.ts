/** How does Vault write an answer and an error? (OpenBao 2.6: sdk/logical/response_util.go.) */
import type { FakeAnswer } from '../fake_server.js'

export function data(value: object): FakeAnswer {
  return { status: 200, body: { request_id: 'a-request', lease_id: '', renewable: false, data: value } }
}

export const noContent: FakeAnswer = { status: 204 }

/** A refusal of the request by an engine or auth method. */
export function refused(text: string): FakeAnswer {
  return { status: 400, body: { errors: [text] } }
}

/** An error that went through the router, which puts it into a list. */
export function failed(status: number, text: string): FakeAnswer {
  return { status, body: { errors: [`1 error occurred:\n\t* ${text}\n\n`] } }
}

export const denied = failed(403, 'permission denied')

export function noRoute(path: string): FakeAnswer {
  return { status: 404, body: { errors: [`no handler for route "${path}". route entry not found.`] } }
}
