/** A KEK on a PKCS#11 token: what can be configured, how it is opened, checked and made. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { KmsError } from '../../../ports/errors.js'
import type { CallOptions } from '../../../ports/key_wrapper.js'
import type { Logger } from '../../../ports/logger.js'
import type { Backend, BackendDeps } from '../backend.js'
import { labelled } from '../labelled_logger.js'
import { checkToken, compareTokens } from './check.js'
import { childEnv } from './child_env.js'
import { HostClient } from './host_client.js'
import { HostGroup } from './host_group.js'
import type { Hsm } from './hsm.js'
import { settings, type Pkcs11Settings } from './settings.js'
import { keyQueryOf, placesOf, type TokenPlace } from './targets.js'
import { keyName, placeName, tokenName } from './shared/token_name.js'
import { keyIdOfKek, Pkcs11KeyWrapper } from './wrapper.js'

/** An operator who runs a command waits longer than kube-apiserver does. */
const COMMAND_TIMEOUT_MS = 15_000

/** So that three nodes fit into the 16 sessions of a YubiHSM. */
const PARALLEL_CALLS = 4

/** @param entry The compiled entry of the HSM process, for those who run the sources uncompiled. */
export function pkcs11Backend(entry: URL): Backend<Pkcs11Settings> {
  return {
    settings,

    open(section, deps) {
      return new Pkcs11KeyWrapper(hsmOf(section, deps, entry), named(deps), deps.isPrimary)
    },

    async check(section, deps) {
      const subject = `keys.${deps.key}`
      const checks = placesOf(section).map(async (place, at) => {
        const where = section.tokens === undefined ? subject : `${subject}.tokens.${at}`
        return forCommand(section, place, deps, entry, async (host, options) =>
          checkToken({ at: where, isPrimary: deps.isPrimary }, section, place, host, options),
        )
      })
      const checked = await Promise.all(checks)
      return [...checked.flatMap(({ findings }) => findings), ...compareTokens(`${subject}.tokens`, checked)]
    },

    async keygen(section, deps) {
      const [place, ...others] = placesOf(section)
      await Promise.all(
        others.map(async (other) =>
          forCommand(section, other, deps, entry, async (host, options) =>
            refuseExisting(section, other, host, options),
          ),
        ),
      )
      return forCommand(section, place, deps, entry, async (host, options) => {
        const { identity, sealing } = await host.call({ op: 'keygen' }, options)
        const ckaId = Buffer.from(identity.ckaId).toString('hex')
        const made = `made ${identity.keyType} key ${keyName(keyQueryOf(section))} on ${tokenName(place.token)} with CKA_ID ${ckaId} and key id ${keyIdOfKek(identity)}`
        if (sealing === undefined || sealing.mechanism === 'none') {
          const text = `${made}, but it wraps with nothing here: ${sealing?.why ?? 'not known'}; destroy it by the means of the HSM's vendor, set a mechanism that the token has, then run keygen again`
          throw new KmsError('ERR_KEY_UNUSABLE', text)
        }
        const how = `it wraps with ${sealing.mechanism} (${sealing.why})`
        if (others.length === 0) return `${made}; ${how}`
        const targets = others.map(({ token }) => tokenName(token)).join(' and ')
        return `${made}; ${how}; now copy it, with its CKA_ID, to ${targets} by the means of the HSM's vendor, then run kmsplugin check`
      })
    },
  }
}

export const pkcs11 = pkcs11Backend(pathToFileURL(join(import.meta.dirname, 'child/main.js')))

/** One token, or several that pass for one. */
function hsmOf(section: Pkcs11Settings, deps: BackendDeps, entry: URL): Hsm {
  const [first, ...others] = placesOf(section)
  if (others.length === 0) return hostOf(section, first, deps, entry)
  const members = [first, ...others].map((place, at) => {
    const token = placeName(at, place.token)
    return {
      name: `${tokenName(place.token)} (tokens.${at})`,
      weight: place.weight,
      hsm: hostOf(section, place, { ...deps, logger: labelled(deps.logger, { token }) }, entry),
      onHealth: (isUp: boolean) => deps.onTokenHealth(token, isUp),
    }
  })
  return new HostGroup(members, deps.clock, named(deps))
}

/** @throws {KmsError} unless the token says that it has no such key: `ERR_CONFIG_INVALID`, or why it does not say. */
async function refuseExisting(
  section: Pkcs11Settings,
  { token }: TokenPlace,
  hsm: Hsm,
  options: CallOptions,
): Promise<void> {
  try {
    await hsm.call({ op: 'identify', seals: false }, options)
  } catch (error) {
    if (error instanceof KmsError && error.code === 'ERR_KEY_NOT_FOUND') return
    throw error
  }
  const text = `${tokenName(token)} has a key ${keyName(keyQueryOf(section))} already; copy that one, or choose another name`
  throw new KmsError('ERR_CONFIG_INVALID', text)
}

async function forCommand<T>(
  section: Pkcs11Settings,
  place: TokenPlace,
  deps: BackendDeps,
  entry: URL,
  work: (host: HostClient, options: CallOptions) => Promise<T>,
): Promise<T> {
  const host = hostOf(section, place, { ...deps, callTimeoutMs: COMMAND_TIMEOUT_MS, isCommand: true }, entry)
  try {
    return await work(host, { deadlineMs: deps.clock.nowMs() + COMMAND_TIMEOUT_MS })
  } finally {
    await host.close()
  }
}

function hostOf(section: Pkcs11Settings, place: TokenPlace, deps: BackendDeps, entry: URL): HostClient {
  const { module, libraryParameters, token, pinPath } = place
  const { callTimeoutMs, stateDir, clock, onRestart } = deps
  return new HostClient({
    module,
    target: {
      ...(libraryParameters === undefined ? {} : { libraryParameters }),
      token,
      key: keyQueryOf(section),
      mechanism: section.mechanism ?? 'auto',
      allowWeakKey: section.allowWeakKey ?? [],
      parallelCalls: section.parallelCalls ?? PARALLEL_CALLS,
    },
    pinPath,
    entry,
    env: childEnv(deps.env),
    callTimeoutMs,
    stateDir,
    oneShot: deps.isCommand ?? false,
    clock,
    logger: named(deps),
    onRestart,
  })
}

/** The same log with the configured name of the key in every line. */
function named({ key, logger }: BackendDeps): Logger {
  return labelled(logger, { key })
}
