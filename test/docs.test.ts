/** The documents that are made from the code are as the code says. `npm run docs` makes them anew. */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { status as grpcStatus } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { backends } from '../src/adapters/backends/index.js'
import { wireErrors } from '../src/adapters/grpc/status.js'
import { errorCodes, type KmsErrorCode } from '../src/ports/errors.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const codes = Object.keys(errorCodes) as KmsErrorCode[]

const WHO = {
  caller: 'the caller',
  data: 'whoever damaged the value',
  operator: 'the operator',
  backend: 'the backend; it may recover alone',
  plugin: 'the makers of the plugin',
}

function errorsDocument(): string {
  const section = (code: KmsErrorCode) => {
    const { fault, retryable, meaning, action } = errorCodes[code]
    const { status, text } = wireErrors[code]
    return `## ${code}

${meaning}

- On the wire: ${grpcStatus[status]}, \`${text}\`
- Whose move: ${WHO[fault]}
- Retried within a request: ${retryable ? 'yes' : 'no'}
- What to do: ${action}
`
  }
  return `# Errors

Made from the code by \`npm run docs\`. The code stands in the log line, in \`kmsplugin_requests_total{code=…}\`, in
/readyz and in the output of commands; the wire carries only the fixed text.

${codes.map(section).join('\n')}`
}

test('docs/errors.md lists exactly the codes of the table', async () => {
  await expect(errorsDocument()).toMatchFileSnapshot('../docs/errors.md')
})

test('the texts on the wire are ASCII, and one for all that is wrong with a ciphertext', () => {
  for (const code of codes) expect(wireErrors[code].text).toMatch(/^[\x20-\x7e]+$/)
  const texts = codes.filter((code) => errorCodes[code].fault === 'data').map((code) => wireErrors[code].text)
  expect(new Set(texts).size).toBe(1)
})

describe('every registered backend', () => {
  const names = Object.keys(backends)

  test.each(names)('%s has a contract test', (name) => {
    expect(readdirSync(`${ROOT}/test/contract`)).toContain(`${name}.test.ts`)
  })

  test.each(names)('%s stands in the table of the README', (name) => {
    expect(readFileSync(`${ROOT}/README.md`, 'utf8')).toContain(`| \`${name}\``)
  })
})

test('links between the documents lead somewhere', () => {
  const documents = ['README.md', 'ARCHITECTURE.md', 'SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md'].concat(
    readdirSync(`${ROOT}/docs`, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.md'))
      .map((file) => `docs/${file}`),
  )
  const dead = documents.flatMap((file) => {
    const links = readFileSync(`${ROOT}/${file}`, 'utf8').matchAll(/\]\(([^)#]+)/g)
    return [...links]
      .map(([, target = '']) => target)
      .filter((target) => !/^[a-z]+:/.test(target))
      .filter((target) => !existsFrom(file, target))
      .map((target) => `${file} -> ${target}`)
  })
  expect(dead).toEqual([])
})

function existsFrom(file: string, target: string): boolean {
  try {
    const url = new URL(target, new URL(file, `file://${ROOT}`))
    return readdirSync(new URL('.', url)).length > 0 && (target.endsWith('/') || readFileSync(url).length > 0)
  } catch {
    return false
  }
}
