/** What do policies of IAM and of a key allow? The part of their language that keys of KMS use. */

export interface PolicyStatement {
  readonly Sid?: string
  readonly Effect: string
  readonly Principal?: '*' | { readonly AWS?: string | readonly string[] }
  readonly Action: string | readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

export interface PolicyDocument {
  readonly Version: string
  readonly Statement: readonly PolicyStatement[]
}

export interface AccessRequest {
  /** ARN of the identity that asks. */
  readonly principal: string
  readonly account: string
  readonly action: string
  readonly resource: string
  /** Condition keys by name, in lower case as far as they are not case-sensitive. */
  readonly context: Readonly<Record<string, string>>
}

type Verdict = 'allow' | 'deny' | 'none'

/** As AWS decides: in one account either policy will do, across accounts both must allow; a denial ends it. */
export function isAllowed(
  request: AccessRequest,
  identityPolicies: readonly PolicyDocument[],
  keyPolicy: PolicyDocument,
  keyAccount: string,
): boolean {
  const byIdentity = verdict(
    identityPolicies.flatMap(({ Statement }) => Statement),
    request,
    () => true,
  )
  const named = verdict(keyPolicy.Statement, request, (statement) => names(statement, request.principal))
  const viaRoot = verdict(keyPolicy.Statement, request, (statement) =>
    names(statement, `arn:aws:iam::${request.account}:root`),
  )
  if ([byIdentity, named, viaRoot].includes('deny')) return false
  if (request.account !== keyAccount)
    return byIdentity === 'allow' && (named === 'allow' || viaRoot === 'allow')
  return named === 'allow' || (viaRoot === 'allow' && byIdentity === 'allow')
}

function verdict(
  statements: readonly PolicyStatement[],
  request: AccessRequest,
  isFor: (statement: PolicyStatement) => boolean,
): Verdict {
  const hit = statements.filter(
    (one) =>
      isFor(one) &&
      matches(one.Action, request.action) &&
      matches(one.Resource, request.resource) &&
      holds(one, request.context),
  )
  if (hit.some(({ Effect }) => Effect === 'Deny')) return 'deny'
  return hit.some(({ Effect }) => Effect === 'Allow') ? 'allow' : 'none'
}

function names({ Principal }: PolicyStatement, principal: string): boolean {
  if (Principal === '*') return true
  return [Principal?.AWS ?? []].flat().some((one) => one === '*' || one === principal)
}

function matches(patterns: string | readonly string[], value: string): boolean {
  return [patterns].flat().some((pattern) => like(pattern, value))
}

function like(pattern: string, value: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 's').test(value)
}

function holds({ Condition = {} }: PolicyStatement, context: AccessRequest['context']): boolean {
  return Object.entries(Condition).every(([operator, keys]) =>
    Object.entries(keys).every(([key, wanted]) => {
      const value = context[key]
      const texts: readonly string[] = typeof wanted === 'string' ? [wanted] : wanted
      if (operator === 'StringEquals') return value !== undefined && texts.includes(value)
      if (operator === 'StringLike') return value !== undefined && texts.some((one) => like(one, value))
      throw new Error(`the fake knows no condition operator ${operator}`)
    }),
  )
}
