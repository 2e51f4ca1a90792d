/** The policy in docs/okms.md is enough, and no more than enough: the fake enforces its actions. */
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DEK_BYTES } from '../../../src/ports/key_wrapper.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { byLabel, OkmsSubject } from '../../support/okms_subject.js'

const PREFIX = 'okms:apikms:serviceKey/'
const options = { deadlineMs: Infinity }
const page = readFileSync(new URL('../../../docs/okms.md', import.meta.url), 'utf8')
const [, json = ''] = /```json\n([\s\S]*?)```/.exec(page) ?? []
const policy = JSON.parse(json) as {
  readonly resources: readonly { readonly urn: string }[]
  readonly permissions: { readonly allow: readonly { readonly action: string }[] }
}
const actions = policy.permissions.allow.map(({ action }) => action.replace(PREFIX, ''))

let subject: OkmsSubject
beforeEach(async () => {
  subject = await OkmsSubject.start()
})
afterEach(async () => subject.close())

async function outcomes(change: Record<string, unknown> = {}): Promise<string[]> {
  const wrapper = subject.open(change)
  const wrapped = wrapper.wrap(Buffer.alloc(DEK_BYTES, 1), options)
  return [
    await outcomeOf(wrapped),
    await outcomeOf(wrapped.then(async (one) => wrapper.unwrap(one, options))),
    await outcomeOf(wrapper.currentKeyId(options)),
  ]
}

describe('the policy of the document', () => {
  test('is for the key of its own example alone', () => {
    const [, okmsId = '', keyId = ''] = /okmsId: (\S+)\n\s+keyId: (\S+)/.exec(page) ?? []
    expect(policy.resources.map(({ urn }) => urn)).toEqual([
      `urn:v1:eu:resource:okms:${okmsId}/serviceKey/${keyId}`,
    ])
  })

  test.each([{}, byLabel()])('is enough: %j', async (change) => {
    subject.fake.clients.set('kmsplugin', actions)
    expect(await outcomes(change)).toEqual(['OK', 'OK', 'OK'])
  })

  test.each(actions)('is no more than enough: nothing works to the end without %s', async (missing) => {
    subject.fake.clients.set(
      'kmsplugin',
      actions.filter((action) => action !== missing),
    )
    expect(await outcomes()).toContain('ERR_ACCESS_DENIED')
  })
})
