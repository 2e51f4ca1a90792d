/** How does a test make a SoftHSM token without a user PIN, and learn the numbers of slots? */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { SoftHsm } from './softhsm.js'

const SO_PIN = '87654321'

export interface SeenSlot {
  readonly slot: number
  readonly label: string
  readonly serial: string
  /** Its token is not initialised. */
  readonly isFree: boolean
}

/** All slots with a token; SoftHSM always has a free one at the end. */
export function slotsOf(hsm: SoftHsm): readonly SeenSlot[] {
  return setUp(hsm, {})
}

/** A new token whose user PIN is not set. */
export function initToken(hsm: SoftHsm, label: string): void {
  setUp(hsm, { initToken: label })
}

/** What its security officer does then. */
export function initPin(hsm: SoftHsm, label: string): void {
  setUp(hsm, { initPin: label, pin: hsm.pin })
}

function setUp({ module, env }: SoftHsm, order: Readonly<Record<string, string>>): readonly SeenSlot[] {
  const script = fileURLToPath(new URL('./token_setup.mjs', import.meta.url))
  const words = [script, JSON.stringify({ module, soPin: SO_PIN, ...order })]
  const options = {
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: 'pipe',
    timeout: 60_000,
  } as const
  return JSON.parse(execFileSync(process.execPath, words, options)) as readonly SeenSlot[]
}
