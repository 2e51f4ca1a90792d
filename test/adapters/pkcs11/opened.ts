/** A PKCS#11 key wrapper over a throwaway token, and what a test may want to know of its process. */
import { createSystemClock } from '../../../src/adapters/system/clock.js'
import type { BackendDeps } from '../../../src/adapters/backends/backend.js'
import { pkcs11Backend } from '../../../src/adapters/backends/pkcs11/index.js'
import type { Pkcs11Settings } from '../../../src/adapters/backends/pkcs11/settings.js'
import type { CallOptions, KeyWrapper } from '../../../src/ports/key_wrapper.js'
import { RecordingLogger } from '../../doubles/recording_logger.js'
import { hsmEntry } from '../../support/softhsm.js'
import type { TokenAccess } from '../../support/token_objects.js'

export const clock = createSystemClock()
export const backend = pkcs11Backend(hsmEntry)

/** Far away: a test that waits for it has failed. */
export function soon(withinMs = 20_000): CallOptions {
  return { deadlineMs: clock.nowMs() + withinMs }
}

/** A token of any module, and where its PIN lies. */
export type UsableToken = TokenAccess & { readonly pinFile: string }

export function settingsOf(token: UsableToken, change: Partial<Pkcs11Settings> = {}): Pkcs11Settings {
  const { module, libraryParameters, tokenLabel, pinFile } = token
  return {
    backend: 'pkcs11',
    module,
    ...(libraryParameters === undefined ? {} : { libraryParameters }),
    tokenLabel,
    pin: `file:${pinFile}`,
    keyLabel: 'kek',
    ...change,
  }
}

export interface Opened {
  readonly wrapper: KeyWrapper
  readonly deps: BackendDeps
  readonly log: RecordingLogger
  /** Of the process that was started last. */
  readonly pid: () => number
  /** How often a process was started. */
  readonly starts: () => number
  /** How often C_Login was called. */
  readonly logins: () => number
  readonly restarts: () => number
  /** Whether each of several tokens is up. */
  readonly tokens: ReadonlyMap<string, boolean>
}

/** The caller closes the wrapper. */
export function openOn(
  hsm: UsableToken,
  change: Partial<Pkcs11Settings> = {},
  extra: {
    readonly callTimeoutMs?: number
    readonly env?: Record<string, string>
    readonly entry?: URL
    readonly stateDir?: string
    readonly isPrimary?: boolean
  } = {},
): Opened {
  const log = new RecordingLogger()
  let restarts = 0
  const tokens = new Map<string, boolean>()
  const deps: BackendDeps = {
    key: 'hsm',
    isPrimary: extra.isPrimary ?? true,
    clock,
    logger: log,
    callTimeoutMs: extra.callTimeoutMs ?? 10_000,
    env: { ...hsm.env, ...extra.env },
    stateDir: extra.stateDir,
    onRestart: () => {
      restarts += 1
    },
    onTokenHealth: (token, isUp) => {
      tokens.set(token, isUp)
    },
  }
  const started = () => log.lines.filter(({ text }) => text === 'HSM process started')
  return {
    wrapper: pkcs11Backend(extra.entry ?? hsmEntry).open(settingsOf(hsm, change), deps),
    deps,
    log,
    pid: () => Number(started().at(-1)?.fields['pid']),
    starts: () => started().length,
    logins: () => log.lines.filter(({ text }) => text === 'C_Login').length,
    restarts: () => restarts,
    tokens,
  }
}
