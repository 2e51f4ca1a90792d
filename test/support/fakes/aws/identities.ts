/** Who may sign, and what their policies say. */
import { randomBytes } from 'node:crypto'
import type { PolicyDocument } from './policy.js'
import type { Signer } from './sigv4.js'

export interface Identity extends Signer {
  readonly arn: string
  readonly account: string
  policies: readonly PolicyDocument[]
}

export interface IdentityWish {
  readonly account?: string
  readonly name?: string
  readonly policies?: readonly PolicyDocument[]
  /** Set: a session, with a token, that ends then. */
  readonly expiresAtMs?: number
}

/** What lets an identity do anything; where a test is not about policies. */
export const ANYTHING: PolicyDocument = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }],
}

export function makeIdentity(wish: IdentityWish = {}): Identity {
  const { account = '111122223333', name = 'kmsplugin', policies = [ANYTHING], expiresAtMs } = wish
  const isSession = expiresAtMs !== undefined
  return {
    account,
    arn: `arn:aws:iam::${account}:role/${name}`,
    policies,
    accessKeyId: `${isSession ? 'ASIA' : 'AKIA'}${randomBytes(8).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64'),
    ...(isSession ? { sessionToken: randomBytes(60).toString('base64'), expiresAtMs } : {}),
  }
}
