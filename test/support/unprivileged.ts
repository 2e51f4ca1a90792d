/** Runs a part of a test without root's rights: root may read and write everything, which hides what is tested. */
import { chownSync } from 'node:fs'

const NOBODY = 65534

/**
 * Runs `work` with the effective user of nobody when we are root, else as we are. The tests of a file run one after the
 * other, so none sees the rights of another. access(2) asks about the real user: it still says yes to root.
 */
export async function unprivileged<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work()
  process.seteuid?.(NOBODY)
  try {
    return await work()
  } finally {
    process.seteuid?.(0)
  }
}

/** Lets {@link unprivileged} work in a folder of the test. */
export function giveAway(path: string): void {
  if (process.geteuid?.() === 0) chownSync(path, NOBODY, NOBODY)
}
