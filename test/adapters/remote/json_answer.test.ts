import { describe, expect, test } from 'vitest'
import { base64At, base64UrlAt } from '../../../src/adapters/backends/remote/json_answer.js'

describe('bytes in an answer', () => {
  test.each([
    ['base64', base64At, '++/+', 'fbeffe', ['--_-', '++/+=', '++ /+', '+', undefined, 5]],
    ['base64', base64At, '+w==', 'fb', ['+w', '+x==', '-w==']],
    ['base64url', base64UrlAt, '--_-', 'fbeffe', ['++/+', '--_-=', '--_- ', '-', undefined, 5]],
    ['base64url', base64UrlAt, '-w', 'fb', ['-w=', '-w===', '-x', '-x==', '+w', '=', '==', '====']],
    ['base64url', base64UrlAt, '-w==', 'fb', ['-=w=', '-w= =']],
    ['base64url', base64UrlAt, '--8=', 'fbef', ['--8==']],
  ] as const)('in %s are taken in the one way to write them', (_name, bytesAt, right, bytes, wrong) => {
    expect(bytesAt({ value: right }, 'value')?.toString('hex')).toBe(bytes)
    for (const value of wrong) expect(bytesAt({ value }, 'value')).toBeUndefined()
  })
})
