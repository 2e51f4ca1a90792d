/** Google's library prints requests and answers when it is told to; it is not listened to here. */
import { randomBytes } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { patiently, useScene } from './opened.js'

// Read when the library loads, which is in this file's own process.
vi.stubEnv('GOOGLE_SDK_NODE_LOGGING', 'all')
vi.stubEnv('NODE_DEBUG', 'auth,gcp-metadata')

const scene = useScene()

test('no token and no DEK is printed, whatever the environment tells the library', async () => {
  const said: string[] = []
  const keep = (chunk: unknown) => said.push(String(chunk)) > 0
  const spies = [
    vi.spyOn(process.stderr, 'write').mockImplementation(keep),
    vi.spyOn(process.stdout, 'write').mockImplementation(keep),
    ...(['log', 'info', 'warn', 'error', 'debug'] as const).map((name) =>
      vi.spyOn(console, name).mockImplementation((...parts: unknown[]) => void keep(parts.join(' '))),
    ),
  ]
  try {
    const dek = randomBytes(32)
    const wrapper = scene.open()
    await wrapper.unwrap(await wrapper.wrap(dek, patiently()), patiently())
    expect(scene.fake.tokens.size).toBe(1)
    const text = `${said.join('')} ${JSON.stringify(scene.logger.lines)}`
    for (const secret of [dek.toString('base64'), ...scene.fake.tokens.keys(), 'assertion']) {
      expect(text).not.toContain(secret)
    }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
})
