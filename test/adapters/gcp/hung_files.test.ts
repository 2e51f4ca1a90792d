/** A file system that hangs keeps nobody longer than he wants to wait. */
import type * as Promises from 'node:fs/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { outcomeOf } from '../../doubles/outcome.js'
import { patiently, useScene } from './opened.js'

const hung = vi.hoisted(() => ({ path: '', looks: 0 }))

vi.mock(import('node:fs/promises'), async (original) => {
  const real: typeof Promises = await original()
  const stat = (async (...parts: Parameters<typeof Promises.stat>) => {
    if (parts[0] !== hung.path) return real.stat(...parts)
    hung.looks += 1
    return new Promise(() => undefined)
  }) as typeof Promises.stat
  return { ...real, stat }
})

const scene = useScene()

afterEach(() => {
  hung.path = ''
})

test('who looks whether the credentials were replaced leaves at his own deadline, and all share one look', async () => {
  const wrapper = scene.open()
  await wrapper.currentKeyId(patiently())
  hung.path = scene.credentials
  const calls = [1, 2, 3].map(async () =>
    outcomeOf(wrapper.currentKeyId({ ...patiently(), signal: AbortSignal.timeout(50) })),
  )
  expect(await Promise.all(calls)).toEqual(calls.map(() => 'ERR_DEADLINE_EXCEEDED'))
  expect(hung.looks).toBe(1)
})
