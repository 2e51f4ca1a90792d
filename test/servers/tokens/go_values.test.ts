/** Values that Go's own cryptography made just now, as the plugins make them, open; altered ones do not. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { formatOfName } from '../../../src/adapters/formats/index.js'
import {
  damaged,
  KeysInMemory,
  openInMemory,
  tally,
  valuesOf,
  type RecordedKey,
  type RecordedValue,
} from '../../support/token_values.js'

interface Made {
  readonly key: Readonly<Record<string, RecordedKey>>
  readonly values: readonly (RecordedValue & { readonly format: string })[]
}

const made = make()
const missing = 'missing' in made ? made.missing : undefined
const title = 'values that Go made just now'

describe.skipIf(missing !== undefined)(
  missing === undefined ? title : `${title} (skipped: ${missing})`,
  () => {
    const { key, values } = 'missing' in made ? { key: {}, values: [] } : made
    const permission = { allowUnauthenticated: true }
    const decoder = (format: string) => {
      const options = format === 'k8s-kms-plugin' ? { macKeyLabel: 'mac' } : {}
      return formatOfName(format)!.decoder(options, permission)
    }
    const formats = [...new Set(values.map(({ format }) => format))]

    test('are of every format whose key lies on a token', () => {
      expect(formats).toEqual(['k8s-kms-plugin', 'kubernetes-kms-mock', 'kubernetes-local-kek'])
    })

    test.each(formats)('%s', (format) => {
      const own = values.filter((value) => value.format === format)
      expect(own.length).toBeGreaterThan(1)
      for (const { stored, plaintext, opensWith, tag, name } of valuesOf(own)) {
        const memory = new KeysInMemory(key[opensWith]!, key['mac'])
        const others = [decoder('kubernetes-kms-mock')]
        const open = (ciphertext: Buffer) =>
          openInMemory(decoder(format), { ...stored, ciphertext }, memory, others)
        expect(open(Buffer.from(stored.ciphertext)).equals(plaintext), name).toBe(true)
        if (tag === 'a' || tag === 'b') continue
        const { WRONG = 0, opened = 0, ERR_INTERNAL = 0 } = tally(damaged(stored.ciphertext), plaintext, open)
        expect([WRONG, opened, ERR_INTERNAL], name).toEqual([0, 0, 0])
      }
    })
  },
)

function make(): Made | { readonly missing: string } {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  const env = { ...process.env, GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', CGO_ENABLED: '0' }
  try {
    const options = {
      cwd: folder,
      env,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
      timeout: 300_000,
    } as const
    return JSON.parse(execFileSync('go', ['run', '-buildvcs=false', '.'], options)) as Made
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      return { missing: 'Go is not installed' }
    throw error
  }
}
