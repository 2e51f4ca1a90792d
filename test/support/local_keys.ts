/** How does an operator change a local key file: whole, by a new file that takes its place? */
import { randomBytes, randomUUID } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'

export interface FileEntry {
  readonly id: string
  readonly alg: string
  readonly key: string
  readonly createdAt: string
  readonly state: 'enabled' | 'disabled'
}

export interface FileContent {
  readonly version: number
  readonly id: string
  readonly keys: readonly FileEntry[]
}

export function readKeys(path: string): FileContent {
  return JSON.parse(readFileSync(path, 'utf8')) as FileContent
}

export function newEntry(): FileEntry {
  const key = randomBytes(32).toString('base64')
  return { id: randomUUID(), alg: 'A256GCM', key, createdAt: new Date().toISOString(), state: 'enabled' }
}

/** Replaces the file in one step; readers see the old one or the new one. */
export function writeKeys(path: string, content: unknown, mode = 0o600): void {
  writeFileSync(`${path}.new`, JSON.stringify(content), { mode })
  renameSync(`${path}.new`, path)
}

/** A new first key: what is sealed from now on is sealed under it. */
export function rotate(path: string): void {
  const content = readKeys(path)
  writeKeys(path, { ...content, keys: [newEntry(), ...content.keys] })
}
