import { chmodSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { retryAfterMs } from '../../../src/adapters/backends/remote/retry_after.js'
import { readSecret } from '../../../src/adapters/backends/remote/secret.js'
import { secretReference, serviceUrl } from '../../../src/adapters/backends/remote/settings.js'
import { readTrustedFile } from '../../../src/adapters/backends/remote/trusted_file.js'
import { KmsError } from '../../../src/ports/errors.js'
import { PrivateFiles } from '../../support/certificates.js'

let files: PrivateFiles

beforeEach(() => {
  files = new PrivateFiles()
})

afterEach(() => files.remove())

async function failureOf(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return error instanceof KmsError ? `${error.code} ${error.message}` : `no KmsError: ${String(error)}`
}

describe('a secret', () => {
  test('is read from its file without the white space at its end', async () => {
    const path = files.write('token', 's.abc def\r\n\n')
    expect(await readSecret(`file:${path}`, 'the token', {})).toBe('s.abc def')
  })

  test('is read anew each time, so that it may be replaced', async () => {
    const path = files.write('token', 'first')
    expect(await readSecret(`file:${path}`, 'the token', {})).toBe('first')
    renameSync(files.write('next', 'second'), path)
    expect(await readSecret(`file:${path}`, 'the token', {})).toBe('second')
  })

  test('is found behind the links by which Kubernetes mounts it', async () => {
    const link = `${files.folder}/link`
    symlinkSync(files.write('..data', 'behind'), link)
    expect(await readSecret(`file:${link}`, 'the token', {})).toBe('behind')
  })

  test('is read from the environment by its name', async () => {
    expect(await readSecret('env:TOKEN', 'the token', { TOKEN: 'from env' })).toBe('from env')
    expect(await failureOf(readSecret('env:TOKEN', 'the token', {}))).toMatch(
      /CONFIG_INVALID.*TOKEN is not set/,
    )
  })

  test.each(['', '\n', 'two\nlines', 'nul\0byte', 'bell\x07', '\xff'.repeat(70_000)])(
    'that is none is refused, and not shown: %j',
    async (content) => {
      const path = files.write('token', content === '' ? ' ' : content)
      const failure = await failureOf(readSecret(`file:${path}`, 'the token', {}))
      expect(failure).toContain('ERR_CONFIG_INVALID')
      expect(failure).toContain(path)
      if (content.length > 3) expect(failure).not.toContain(content.slice(0, 3))
    },
  )
})

describe('a file of ours', () => {
  test.each([
    [0o644, /chmod 600/],
    [0o640, /chmod 600/],
    [0o602, /chmod 600/],
  ])('that others may use is refused where it is secret: %o', async (mode, text) => {
    const path = files.write('secret', 'x')
    chmodSync(path, mode)
    expect(await failureOf(readTrustedFile(path, 'the key', 'us'))).toMatch(text)
  })

  test('that others may only read is taken where it is not, and refused where they may write it', async () => {
    const path = files.write('ca.pem', 'x')
    chmodSync(path, 0o644)
    expect((await readTrustedFile(path, 'the CA', 'anybody')).toString()).toBe('x')
    chmodSync(path, 0o664)
    expect(await failureOf(readTrustedFile(path, 'the CA', 'anybody'))).toContain('ERR_CONFIG_INVALID')
  })

  test('that is absent, a folder, empty, a pipe or too large is refused in words', async () => {
    const path = files.write('file', '')
    expect(await failureOf(readTrustedFile(path, 'the CA', 'us'))).toContain('is empty')
    expect(await failureOf(readTrustedFile(files.folder, 'the CA', 'us'))).toContain('no regular file')
    unlinkSync(path)
    expect(await failureOf(readTrustedFile(path, 'the CA', 'us'))).toContain('does not exist')
    execFileSync('mkfifo', ['-m', '600', path])
    expect(await failureOf(readTrustedFile(path, 'the CA', 'us'))).toContain('no regular file')
    unlinkSync(path)
    writeFileSync(path, Buffer.alloc(2 * 1024 * 1024), { mode: 0o600 })
    expect(await failureOf(readTrustedFile(path, 'the CA', 'us'))).toContain('larger')
  })
})

describe('Retry-After', () => {
  const now = Date.UTC(2026, 10, 27)

  test.each([
    ['7', 7000],
    ['0', 0],
    [' 2 ', 2000],
    ['999999999', 3_600_000],
    ['Fri, 27 Nov 2026 00:00:30 GMT', 30_000],
    ['Thu, 26 Nov 2026 00:00:00 GMT', 0],
    ['soon', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%j is %j ms', (header, ms) => {
    expect(retryAfterMs(header, now)).toBe(ms)
  })
})

describe('the address of a service', () => {
  const url = serviceUrl('where it is')

  test.each([
    'https://kms.example.com',
    'https://kms.example.com:8200/base/path',
    'https://10.0.0.1:8200',
    'http://127.0.0.1:8200',
    'http://localhost:8200',
    'http://[::1]:8200',
  ])('may be %s', (text) => {
    expect(url.safeParse(text).success).toBe(true)
  })

  test.each([
    ['http://kms.example.com:8200', 'https://'],
    ['http://127.0.0.1.example.com', 'https://'],
    ['http://10.0.0.1', 'https://'],
    ['ftp://kms.example.com', 'https://'],
    ['kms.example.com', 'URL'],
    ['https://user:pass@kms.example.com', 'password'],
    ['https://kms.example.com?x=1', '"?"'],
    ['https://kms.example.com#x', '"#"'],
  ])('must not be %s', (text, why) => {
    const result = url.safeParse(text)
    expect(result.success ? '' : result.error.issues[0]?.message).toContain(why)
  })

  test('a secret is named, never given, and a mistake does not show what stood there', () => {
    const reference = secretReference('the token')
    expect(reference.safeParse('file:/etc/token').success).toBe(true)
    expect(reference.safeParse('env:TOKEN').success).toBe(true)
    for (const text of ['hvs.secret', 'file:relative', 'env:', 'env:a b', 'file:']) {
      const result = reference.safeParse(text)
      expect(result.success).toBe(false)
      expect(JSON.stringify(result.error?.issues.map(({ message }) => message))).not.toContain('secret"')
    }
  })
})
