/** THE table of plugins whose metrics we can export: one line each. */
import type { KeyConfig, MetricsOf } from '../../../ports/config.js'
import { awsMetrics, awsRows } from './aws.js'
import type { PeerMetrics, PeerRow } from './peer.js'
import { vaultMetrics, vaultProcessRows, vaultRows } from './vault.js'

type PeerName = Exclude<MetricsOf, ''>

interface Peer {
  readonly rows: readonly PeerRow[]
  /** @param primary The key that seals. */
  readonly of: (primary: KeyConfig | undefined) => PeerMetrics
}

export const peers: Readonly<Record<PeerName, Peer>> = {
  'aws-encryption-provider': {
    rows: Object.values(awsRows),
    of: (primary) => awsMetrics(typeof primary?.['keyId'] === 'string' ? primary['keyId'] : ''),
  },
  'vault-kubernetes-kms': {
    rows: [...Object.values(vaultRows), ...vaultProcessRows],
    of: () => vaultMetrics,
  },
}

/** `undefined` where nobody's are wanted. */
export function peerMetricsOf(name: MetricsOf, primary: KeyConfig | undefined): PeerMetrics | undefined {
  return name === '' ? undefined : peers[name].of(primary)
}
