/** In which of its four forms is a KMS key named, and what does the name itself tell? */

const KEY_ID = /^(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})$/
const ALIAS = /^alias\/[A-Za-z0-9/_-]{1,250}$/
const KMS_ARN = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:(?:(key)\/(.+)|(alias\/.+))$/

/** Any ARN that names an account: `arn:partition:service:region:account:resource`. */
export const ARN = /^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]{12}:[\x21-\x7e]{1,1024}$/

/** Whether `text` is a key id, a key ARN, an alias or the ARN of an alias. */
export function isKeyReference(text: string): boolean {
  if (KEY_ID.test(text) || ALIAS.test(text)) return true
  const [, , key, id = '', alias = ''] = KMS_ARN.exec(text) ?? []
  return key === undefined ? ALIAS.test(alias) : KEY_ID.test(id)
}

/** Whether somebody can make the name mean another key. */
export function isAlias(reference: string): boolean {
  return /(?:^|:)alias\//.test(reference)
}

/** Whether `text` is the ARN of a key itself. */
export function isKeyArn(text: string): boolean {
  const [, , key, id = ''] = KMS_ARN.exec(text) ?? []
  return key !== undefined && KEY_ID.test(id)
}

/** Whether the ARN of a key is that of a multi-Region key, whose replicas have the same id. */
export function isMultiRegion(arn: string): boolean {
  return arn.includes(':key/mrk-')
}

/** The region in an ARN; `undefined` in names without one. */
export function regionOf(reference: string): string | undefined {
  return KMS_ARN.exec(reference)?.[1]
}

/** The account in an ARN. */
export function accountOf(arn: string): string {
  return arn.split(':')[4] ?? ''
}
