/** Backends with small schemas, and files to load: what the tests of the config adapter share. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { z } from 'zod'
import { createConfigSource } from '../../../src/adapters/config/config_source.js'
import type { Config, ConfigProblem } from '../../../src/ports/config.js'

export const fakeSchemas = {
  disk: z.strictObject({
    backend: z.literal('disk').describe('A fake | with a bar.'),
    path: z.string().regex(/^\//, 'must be an absolute path').describe('Where it lies.'),
  }),
  token: z.strictObject({
    backend: z.literal('token').describe('Another fake.'),
    tokenLabel: z.string().min(1).describe('Finds the token.'),
    pin: z
      .string()
      .regex(/^file:\//, 'must be file: and an absolute path')
      .describe('Unlocks the token.'),
    slot: z.int().min(0).max(99).optional().describe('Finds the token by number.'),
    mechanism: z.enum(['gcm', 'oaep']).default('gcm').describe('How it wraps.'),
    readOnly: z.boolean().default(true).describe('Whether it may write.'),
    tls: z
      .strictObject({ ca: z.string().describe('Who signed it.'), apiKey: z.string().optional() })
      .optional()
      .describe('How to reach it.'),
  }),
}

/** The same, lazily, as the container passes them. */
export const fakeBackends = {
  disk: async () => fakeSchemas.disk,
  token: async () => fakeSchemas.token,
}

export const source = createConfigSource(fakeBackends)

/** The shortest file that is right. */
export const minimal = 'primary: a\nkeys:\n  a:\n    backend: disk\n    path: /var/lib/k\n'

const folder = mkdtempSync(join(tmpdir(), 'kmsplugin-config-'))
let files = 0
afterAll(() => rmSync(folder, { recursive: true }))

/** A path in this test file's own folder that nothing uses yet. */
export function newPath(): string {
  return join(folder, `${++files}.yaml`)
}

export function fileWith(content: string | Uint8Array): string {
  const file = newPath()
  writeFileSync(file, content)
  return file
}

export async function problemsOf(content: string | Uint8Array): Promise<readonly ConfigProblem[]> {
  return (await source.load(fileWith(content))).problems
}

/** `line path` of each problem. */
export async function placesOf(content: string): Promise<readonly string[]> {
  return (await problemsOf(content)).map(({ path, line }) => `${line ?? '-'} ${path}`)
}

export async function configOf(content: string): Promise<Config> {
  const result = await source.load(fileWith(content))
  if (!('config' in result)) throw new Error(JSON.stringify(result.problems))
  return result.config
}
