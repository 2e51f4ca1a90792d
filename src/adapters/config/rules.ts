/** Do settings that are each right fit together? */
import type { Mistake } from './mistake.js'
import type { ProcessConfig } from './settings.js'

interface Rule {
  /** The settings involved, as in the file; the mistake is reported at the first that stands there. */
  readonly about: readonly string[]
  /** A sentence, for problem lines and the reference. */
  readonly text: string
  isKept(config: ProcessConfig): boolean
}

export const rules: readonly Rule[] = [
  {
    about: ['retry.callTimeout', 'retry.totalTimeout'],
    text: 'retry.callTimeout must not exceed retry.totalTimeout',
    isKept: ({ retry }) => retry.callTimeoutMs <= retry.totalTimeoutMs,
  },
  {
    about: ['retry.initialDelay', 'retry.maxDelay'],
    text: 'retry.initialDelay must not exceed retry.maxDelay',
    isKept: ({ retry }) => retry.initialDelayMs <= retry.maxDelayMs,
  },
  {
    about: ['health.livePath', 'health.path'],
    text: 'health.livePath must not be health.path, nor <path>/readiness: one says whether we run, the other whether we are ready',
    isKept: ({ health: { path, livePath } }) => livePath !== path && livePath !== `${path}/readiness`,
  },
  {
    about: ['server.socketGroup', 'server.socketMode'],
    text: 'server.socketGroup needs a server.socketMode that lets the group read and write: "0660"',
    isKept: ({ server }) => server.socketGroup === '' || (server.socketMode & 0o060) === 0o060,
  },
]

/** @param earlier What is already known to be wrong: a rule about a wrong value says nothing. */
export function brokenRules(
  config: ProcessConfig,
  earlier: readonly Mistake[],
  isGiven: (path: readonly string[]) => boolean,
): Mistake[] {
  const wrong = new Set(earlier.map(({ path }) => path.join('.')))
  return rules
    .filter((rule) => !rule.about.some((name) => wrong.has(name)) && !rule.isKept(config))
    .map(({ about, text }) => {
      const paths = about.map((name) => name.split('.'))
      return { path: paths.find(isGiven) ?? [], text }
    })
}
