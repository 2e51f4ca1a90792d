/** Keeps every event that the core reports for a test to read. */
import type { Metrics } from '../../src/ports/metrics.js'

type Events = { [Event in keyof Metrics]: Parameters<Metrics[Event]>[] }

export class RecordingMetrics implements Metrics {
  /** The arguments of each call, by event, in order. */
  readonly events: Events = {
    requestFinished: [],
    backendCallFinished: [],
    dekCacheLookup: [],
    foreignDecoded: [],
    dekCacheSize: [],
    dekSeals: [],
    dekRenewed: [],
    probeFinished: [],
    keyIdPublished: [],
    hsmChildRestarted: [],
    tokenHealth: [],
    credentialReplaced: [],
    httpRequestFinished: [],
  }

  requestFinished(...event: Events['requestFinished'][number]): void {
    this.events.requestFinished.push(event)
  }

  backendCallFinished(...event: Events['backendCallFinished'][number]): void {
    this.events.backendCallFinished.push(event)
  }

  dekCacheLookup(...event: Events['dekCacheLookup'][number]): void {
    this.events.dekCacheLookup.push(event)
  }

  foreignDecoded(...event: Events['foreignDecoded'][number]): void {
    this.events.foreignDecoded.push(event)
  }

  dekCacheSize(...event: Events['dekCacheSize'][number]): void {
    this.events.dekCacheSize.push(event)
  }

  dekSeals(...event: Events['dekSeals'][number]): void {
    this.events.dekSeals.push(event)
  }

  dekRenewed(...event: Events['dekRenewed'][number]): void {
    this.events.dekRenewed.push(event)
  }

  probeFinished(...event: Events['probeFinished'][number]): void {
    this.events.probeFinished.push(event)
  }

  keyIdPublished(...event: Events['keyIdPublished'][number]): void {
    this.events.keyIdPublished.push(event)
  }

  hsmChildRestarted(...event: Events['hsmChildRestarted'][number]): void {
    this.events.hsmChildRestarted.push(event)
  }

  tokenHealth(...event: Events['tokenHealth'][number]): void {
    this.events.tokenHealth.push(event)
  }

  credentialReplaced(...event: Events['credentialReplaced'][number]): void {
    this.events.credentialReplaced.push(event)
  }

  httpRequestFinished(...event: Events['httpRequestFinished'][number]): void {
    this.events.httpRequestFinished.push(event)
  }
}
