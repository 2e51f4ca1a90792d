/** A KEK on a PKCS#11 token: what can be configured, how it is opened, checked and made. */
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import type { Backend, BackendDeps } from '../backend.js'
import { checkToken } from './check.js'
import { childEnv } from './child_env.js'
import { HostClient } from './host_client.js'
import { pinPathOf, settings, type Pkcs11Settings } from './settings.js'
import { keyIdOfKek, Pkcs11KeyWrapper } from './wrapper.js'

/** An operator who runs a command waits longer than kube-apiserver does. */
const COMMAND_TIMEOUT_MS = 15_000

/** @param entry The compiled entry of the HSM process, for those who run the sources uncompiled. */
export function pkcs11Backend(entry: URL): Backend<Pkcs11Settings> {
  return {
    settings,

    open(section, deps) {
      return new Pkcs11KeyWrapper(hostOf(section, deps, entry), named(deps))
    },

    async check(section, deps) {
      return forCommand(section, deps, entry, async (host, options) =>
        checkToken(deps.key, section, host, options),
      )
    },

    async keygen(section, deps) {
      return forCommand(section, deps, entry, async (host, options) => {
        const { identity } = await host.call({ op: 'keygen' }, options)
        const ckaId = Buffer.from(identity.ckaId).toString('hex')
        return `made AES-256 key "${section.keyLabel}" on token "${section.tokenLabel}" with CKA_ID ${ckaId} and key id ${keyIdOfKek(identity)}`
      })
    },
  }
}

export const pkcs11 = pkcs11Backend(new URL('./child/main.js', import.meta.url))

async function forCommand<T>(
  section: Pkcs11Settings,
  deps: BackendDeps,
  entry: URL,
  work: (host: HostClient, options: CallOptions) => Promise<T>,
): Promise<T> {
  const host = hostOf(section, { ...deps, callTimeoutMs: COMMAND_TIMEOUT_MS, isCommand: true }, entry)
  try {
    return await work(host, { deadlineMs: deps.clock.nowMs() + COMMAND_TIMEOUT_MS })
  } finally {
    await host.close()
  }
}

function hostOf(section: Pkcs11Settings, deps: BackendDeps, entry: URL): HostClient {
  const { module, tokenLabel, keyLabel } = section
  const { callTimeoutMs, clock, onRestart } = deps
  return new HostClient({
    module,
    tokenLabel,
    keyLabel,
    pinPath: pinPathOf(section),
    entry,
    env: childEnv(deps.env),
    callTimeoutMs,
    oneShot: deps.isCommand ?? false,
    clock,
    logger: named(deps),
    onRestart,
  })
}

/** The same log with the configured name of the key in every line. */
function named({ key, logger }: BackendDeps): Logger {
  return {
    debug: (text, fields) => logger.debug(text, { key, ...fields }),
    info: (text, fields) => logger.info(text, { key, ...fields }),
    warn: (text, fields) => logger.warn(text, { key, ...fields }),
    error: (text, fields) => logger.error(text, { key, ...fields }),
  }
}
