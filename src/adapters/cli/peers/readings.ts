/** Readings that several plugins share: places, switches and times. */
import { resolve } from 'node:path'
import type { Reading } from './flag.js'
import { goBool, goDurationMs, goInteger } from './go_values.js'

/** A file, which those plugins also take relative to the folder that they were started in. */
export function file(path: string): Reading {
  return (text) => ({ values: { [path]: resolve(text) } })
}

/** A path, or `unix://` and a path; what is neither is left to the check of the setting. */
export const socket: Reading = (text) => {
  const path = /^unix:\/\//i.test(text) ? text.slice('unix://'.length) : text
  const isPath = path !== '' && !path.startsWith('@')
  return { values: { 'server.socket': isPath ? resolve(path) : text } }
}

/**
 * As Go takes it: a port without a host is one of all interfaces, of IPv4 and of IPv6; `localhost` is 127.0.0.1, where
 * Node.js would take what /etc/hosts of a pod names first, ::1, and probes ask at the other.
 */
export const address: Reading = (text) => {
  if (!text.startsWith(':'))
    return { values: { 'health.address': text.replace(/^localhost:/, '127.0.0.1:') } }
  return {
    values: { 'health.address': `[::]${text}` },
    notice: `listens on all interfaces, since probes without a host ask at the address of the pod; no Secret is served, but the names of keys are: to listen on loopback alone, use our own configuration with "127.0.0.1${text}", and "host: 127.0.0.1" in the probes`,
  }
}

/** A switch that sets something when it is on. */
export function whenOn(path: string, value: unknown): Reading {
  return (text) => (goBool(text) ? { values: { [path]: value } } : {})
}

/** What `retry.totalTimeout` takes. */
const TIMEOUT_MS = { min: 10, max: 60_000 }
/** Our own default, which fits into the 3 s that kube-apiserver waits. */
const USUAL_MS = 2500

/** How long a whole request may take. One call to the KMS has a second of it, or half of a longer time. */
export function timeout(msOf: (text: string) => number): Reading {
  return (text) => {
    const given = msOf(text)
    const ms = Math.min(Math.max(given, TIMEOUT_MS.min), TIMEOUT_MS.max)
    const callMs = ms > USUAL_MS ? Math.round(ms / 2) : Math.min(ms, 1000)
    const bounded = ms === given ? '' : `is out of bounds, so ${ms} ms are used; `
    const late = `kube-apiserver waits 3 s unless \`timeout\` in the EncryptionConfiguration says more than ${ms} ms`
    return {
      values: { 'retry.totalTimeout': `${ms}ms`, 'retry.callTimeout': `${callMs}ms` },
      ...(ms > USUAL_MS || bounded !== '' ? { notice: `${bounded}${late}` } : {}),
    }
  }
}

/** `60` for seconds, or a duration. */
export function secondsOrDuration(text: string): number {
  return /^[0-9]+$/.test(text) ? goInteger(text) * 1000 : goDurationMs(text)
}

/** What `retry.maxRetries` takes. */
const MAX_RETRIES = 10

export const retries: Reading = (text) => {
  const given = goInteger(text)
  if (given < 0) throw new Error('must be a whole number from 0')
  const values = { 'retry.maxRetries': Math.min(given, MAX_RETRIES) }
  if (given <= MAX_RETRIES) return { values }
  return {
    values,
    notice: `is more than ${MAX_RETRIES}, so ${MAX_RETRIES} is used: a request ends before more of them`,
  }
}
