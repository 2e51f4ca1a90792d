/**
 * Where in the API are the actions on a key?
 *
 * Key Protect and Hyper Protect Crypto Services moved them once. IBM Cloud Private never did: its KMS knows the older
 * addresses only.
 */
import type { Action, ServiceError } from './errors.js'

export interface Dialect {
  readonly path: (action: Action, idOrAlias: string) => string
  /** Of a body. */
  readonly contentType: (action: Action) => string
}

export const today: Dialect = {
  path: (action, id) => `${keyPath(id)}/${action === 'metadata' ? 'metadata' : `actions/${action}`}`,
  contentType: (action) => `application/vnd.ibm.kms.key_action_${action}+json`,
}

export const older: Dialect = {
  path: (action, id) => (action === 'metadata' ? keyPath(id) : `${keyPath(id)}?action=${action}`),
  contentType: () => 'application/vnd.ibm.kms.key_action+json',
}

/** Whether it is the address that the service does not know; of a key that it does not know it says so. */
export function isUnknownAddress(error: ServiceError): boolean {
  return [404, 405].includes(error.status) && error.reason === ''
}

function keyPath(idOrAlias: string): string {
  return `/api/v2/keys/${encodeURIComponent(idOrAlias)}`
}
