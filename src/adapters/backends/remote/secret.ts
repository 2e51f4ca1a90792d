/** What is the secret that a setting refers to? Read at each use, so that a file may be replaced while we run. */
import { KmsError } from '../../../ports/errors.js'
import { readTrustedFile, type Readers } from './trusted_file.js'

/** Nothing that authenticates us is longer. */
const MAX_SECRET_BYTES = 65_536

/**
 * The text behind `file:/path` or `env:NAME`, without the white space at its end.
 *
 * @param what In messages: `the Vault token`. The secret itself is in none.
 * @param readers `anybody` for tokens that the kubelet writes and replaces; see trusted_file.ts.
 * @throws {KmsError} `ERR_CONFIG_INVALID`: absent, empty, not UTF-8, with control characters, or a file that others may use.
 */
export async function readSecret(
  reference: string,
  what: string,
  env: Readonly<Record<string, string | undefined>>,
  readers: Readers = 'us',
): Promise<string> {
  const value = await textOf(reference, what, env, readers)
  const secret = value.trimEnd()
  if (secret === '' || secret.length > MAX_SECRET_BYTES || /[\p{Cc}\ufffd]/u.test(secret)) {
    const text = `${what} in ${reference} must be one line of 1 to ${MAX_SECRET_BYTES} characters of UTF-8`
    throw new KmsError('ERR_CONFIG_INVALID', text)
  }
  return secret
}

async function textOf(
  reference: string,
  what: string,
  env: Readonly<Record<string, string | undefined>>,
  readers: Readers,
): Promise<string> {
  if (reference.startsWith('file:')) {
    const bytes = await readTrustedFile(reference.slice('file:'.length), what, readers)
    const text = bytes.toString('utf8')
    bytes.fill(0)
    return text
  }
  const name = reference.slice('env:'.length)
  const value = env[name]
  if (value === undefined) {
    throw new KmsError('ERR_CONFIG_INVALID', `${what}: the environment variable ${name} is not set`)
  }
  return value
}
