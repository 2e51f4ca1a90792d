/** What does a credentials file say? Only forms that we can use; those that hold a secret only if nobody else reads it. */
import { createPrivateKey } from 'node:crypto'
import * as z from 'zod'
import { KmsError } from '../../../ports/errors.js'
import { readTrustedFile } from '../remote/trusted_file.js'
import type { CredentialsPlace } from './credentials_place.js'

const text = z.string().min(1)
const common = {
  quota_project_id: z
    .string()
    .regex(/^[a-z0-9.:-]{1,128}$/)
    .optional(),
  universe_domain: z
    .literal('googleapis.com', { error: 'names another cloud than googleapis.com' })
    .optional(),
}

const serviceAccount = z.looseObject({
  ...common,
  type: z.literal('service_account'),
  client_email: text,
  private_key: z.string().refine(isPrivateKey, { error: 'is no private key in PEM' }),
  token_uri: z.url().optional(),
})

const authorizedUser = z.looseObject({
  ...common,
  type: z.literal('authorized_user'),
  client_id: text,
  client_secret: text,
  refresh_token: text,
  token_uri: z.url().optional(),
})

const externalAccount = z.looseObject({
  ...common,
  type: z.literal('external_account'),
  audience: text,
  subject_token_type: text,
  token_url: z.url().optional(),
  client_secret: z.string().optional(),
  credential_source: z.looseObject({
    file: z.string().regex(/^\//, 'must be an absolute path').optional(),
    executable: z
      .undefined({ error: 'names a program, and this plugin runs none; use a file or a URL' })
      .optional(),
    certificate: z
      .undefined({ error: 'names a client certificate, which is not supported; use a file or a URL' })
      .optional(),
  }),
})

const source = z.discriminatedUnion('type', [serviceAccount, authorizedUser, externalAccount])

const impersonated = z.looseObject({
  ...common,
  type: z.literal('impersonated_service_account'),
  service_account_impersonation_url: z
    .url()
    .regex(
      /\/serviceAccounts\/[^/]+:generateAccessToken$/,
      'must end with /serviceAccounts/NAME:generateAccessToken',
    ),
  delegates: z.array(text).optional(),
  source_credentials: source,
})

const form = z.discriminatedUnion('type', [serviceAccount, authorizedUser, externalAccount, impersonated])

export type SourceCredentials = z.infer<typeof source>
export type GoogleCredentials = z.infer<typeof form>

export interface CredentialsFile {
  readonly credentials: GoogleCredentials
  /** As read; secret. */
  readonly text: string
}

/** @throws {KmsError} `ERR_CONFIG_INVALID`. Never quotes the file. */
export async function readCredentials({ path, named }: CredentialsPlace): Promise<CredentialsFile> {
  const what = `the Google credentials (${named})`
  const bytes = await readTrustedFile(path, what, 'anybody')
  const content = bytes.toString('utf8')
  bytes.fill(0)
  const result = form.safeParse(parsed(content))
  if (!result.success) {
    const issues = result.error.issues.map(
      (issue) => `${issue.path.join('.') || 'the file'} ${reasonOf(issue)}`,
    )
    const types = form.options.map((option) => option.shape.type.value).join(', ')
    const why = `cannot be used: ${issues.join('; ')} (known types: ${types})`
    throw new KmsError('ERR_CONFIG_INVALID', `${what} in ${path} ${why}`)
  }
  // Says what is wrong with its mode.
  if (holdsSecret(result.data)) (await readTrustedFile(path, what, 'us')).fill(0)
  return { credentials: result.data, text: content }
}

/** The file from which a token of another identity provider is read; `undefined` where it comes from elsewhere. */
export function subjectTokenPath(credentials: GoogleCredentials): string | undefined {
  const inner = sourceOf(credentials)
  return inner.type === 'external_account' ? inner.credential_source.file : undefined
}

/** Whether all that is sent stands in files: then the same again is refused again. */
export function isOnDisk(credentials: GoogleCredentials): boolean {
  return sourceOf(credentials).type !== 'external_account' || subjectTokenPath(credentials) !== undefined
}

export function sourceOf(credentials: GoogleCredentials): SourceCredentials {
  return credentials.type === 'impersonated_service_account' ? credentials.source_credentials : credentials
}

function holdsSecret(credentials: GoogleCredentials): boolean {
  const inner = sourceOf(credentials)
  return inner.type !== 'external_account' || inner.client_secret !== undefined
}

/** The reasons of zod's own rules name values. */
function reasonOf(issue: z.core.$ZodIssue): string {
  return issue.code === 'invalid_value' || issue.code === 'invalid_union'
    ? 'has no value that is known'
    : issue.message
}

function isPrivateKey(pem: string): boolean {
  try {
    return createPrivateKey(pem).asymmetricKeyType === 'rsa'
  } catch {
    return false
  }
}

function parsed(content: string): unknown {
  try {
    return JSON.parse(content)
  } catch {
    // No cause: a parser's message quotes the text.
    return undefined
  }
}
