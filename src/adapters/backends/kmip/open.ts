/** How do settings become a key on a server? */
import { KmsError } from '../../../ports/errors.js'
import type { BackendDeps } from '../backend.js'
import { labelled } from '../labelled_logger.js'
import { KmipClient } from './client.js'
import { KekOnServer, type KekName } from './kek_on_server.js'
import { parseAddress, type KmipSettings } from './settings.js'
import type { KmipVersion } from './version.js'
import { KmipKeyWrapper } from './wrapper.js'

export type Deps = Pick<BackendDeps, 'key' | 'logger' | 'callTimeoutMs'> &
  Partial<Pick<BackendDeps, 'isPrimary'>>

/** @param versions Those to speak; only tests name them. */
export function openServer(
  settings: KmipSettings,
  { key, logger, callTimeoutMs }: Deps,
  versions?: readonly KmipVersion[],
): KekOnServer {
  const address = parseAddress(settings.address)
  if (address === undefined) throw new KmsError('ERR_CONFIG_INVALID', 'address must be host:port')
  const client = new KmipClient({
    ...address,
    tls: settings,
    timeoutMs: callTimeoutMs,
    logger: labelled(logger, { key }),
    versions,
  })
  return new KekOnServer(client, nameOf(settings))
}

export function openWrapper(
  settings: KmipSettings,
  deps: Deps,
  versions?: readonly KmipVersion[],
): KmipKeyWrapper {
  const logger = labelled(deps.logger, { key: deps.key })
  return new KmipKeyWrapper(openServer(settings, deps, versions), logger, deps.isPrimary ?? true)
}

function nameOf({ keyId, keyLabel }: KmipSettings): KekName {
  if (keyId !== undefined) return { keyId }
  if (keyLabel !== undefined) return { keyLabel }
  throw new KmsError('ERR_CONFIG_INVALID', 'name the key by keyId or by keyLabel')
}
