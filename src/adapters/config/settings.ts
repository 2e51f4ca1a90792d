/**
 * THE table of the process's own settings: one row each. Validation, defaults, JSON Schema, the printed config and
 * docs/configuration.md all come from it. The settings of a key are its backend's own.
 */
import type { Config } from '../../ports/config.js'
import { healthAddress, healthPath, livePath, socketGroup, socketMode, socketPath } from './endpoint_forms.js'
import { optionalFolder } from './folder_form.js'
import { bool, duration, integer, oneOf, type Form, type Scalar } from './forms.js'

/** The parts of the config that are a fixed set of single values. */
export type SectionName = 'server' | 'envelope' | 'retry' | 'health' | 'log'
export type ProcessConfig = Pick<Config, SectionName>

export interface Setting<T> {
  readonly form: Form<T>
  /** As it would stand in the file. */
  readonly fallback: Scalar
  /** For the reference: what it does, and when to change it. Markdown, no line break. */
  readonly meaning: string
}

/** By the names of the port; in the file the unit stands in the value, so `drainTimeoutMs` is `drainTimeout`. */
type Table = {
  readonly [Section in SectionName]: {
    readonly [Field in keyof Config[Section]]-?: Setting<Config[Section][Field]>
  }
}

const HOUR_MS = 3_600_000
const WEEK_MS = 168 * HOUR_MS
const MINUTE_MS = 60_000

export const settings: Table = {
  server: {
    socket: {
      form: socketPath,
      fallback: '/run/kmsplugin/kms.sock',
      meaning:
        "The socket to listen on; `endpoint` in kube-apiserver's EncryptionConfiguration is `unix://` and this path. Its folder must be ours and not writable by others. Change it to run a second plugin on the node. Abstract sockets (`@name`) are refused.",
    },
    socketMode: {
      form: socketMode,
      fallback: '0600',
      meaning:
        'Who may connect, and so who may decrypt every Secret. `"0600"`: only our own user, and root. `"0660"`: also the members of `socketGroup`; for a kube-apiserver that runs as another user.',
    },
    socketGroup: {
      form: socketGroup,
      fallback: '',
      meaning:
        'The group that owns the socket, with `socketMode: "0660"`. `""`: our own group. We must be a member of it, or root.',
    },
    kmsV1: {
      form: bool,
      fallback: false,
      meaning:
        'Also serve KMS v1 (v1beta1) on the same socket. Needed while kube-apiserver still reads or writes through `apiVersion: v1`; v1 asks us once for every Secret. Turn it off when the last value has been rewritten through v2.',
    },
    drainTimeoutMs: {
      form: duration(0, 5 * MINUTE_MS),
      fallback: '5s',
      meaning:
        'On shutdown: how long requests in flight may still take before they are cut off. At start: how long to wait for a previous plugin to leave the socket. Keep it below `terminationGracePeriodSeconds`.',
    },
    restartDelayMs: {
      form: duration(0, HOUR_MS),
      fallback: 0,
      meaning:
        'After a start that failed because the socket is in use: how long to wait before the next try, again and again. `0`: end with exit code 69 and leave it to systemd or the kubelet. An invalid configuration always ends the plugin.',
    },
    stateDir: {
      form: optionalFolder,
      fallback: '',
      meaning:
        'A folder where the plugin remembers across restarts which PINs a token refused, so that no wrong PIN is tried twice. It is made, mode 0700, where its parent exists; it must be ours and not writable by others, and survive a reboot. `""`: remembered until the plugin ends.',
    },
  },
  envelope: {
    cipher: {
      form: oneOf('A256GCM', 'A256CBC-HS512'),
      fallback: 'A256GCM',
      meaning:
        'How a DEK seals new values: AES-256-GCM, or AES-256-CBC with HMAC-SHA-512 (RFC 7518) where policy forbids GCM nonces made outside a validated module. Old values open under either.',
    },
    dek: {
      form: oneOf('reused', 'fresh'),
      fallback: 'reused',
      meaning:
        '`reused`: one DEK seals many values, within the three limits below, so sealing goes on through a short outage of the backend. `fresh`: a new DEK for every value; every Encrypt waits for the backend and fails with it.',
    },
    dekMaxAgeMs: {
      form: duration(1, WEEK_MS),
      fallback: '1h',
      meaning:
        'How long a reused DEK seals new values. Longer: fewer backend calls, longer sealing through an outage. Shorter: fewer values under one DEK, and a rotated KEK is used sooner. It does not bound reading: values under a revoked KEK can be read through us for up to `dekCacheTimeout`.',
    },
    dekMaxSeals: {
      form: integer(1, 2 ** 32),
      fallback: 2 ** 21,
      meaning:
        'How many values a reused DEK seals before a new one is made. Lower it where policy bounds the use of a key.',
    },
    dekMaxBytes: {
      form: integer(1, 2 ** 48),
      fallback: 2 ** 32,
      meaning: 'How many bytes of plaintext a reused DEK seals before a new one is made.',
    },
    dekCacheTimeoutMs: {
      form: duration(0, WEEK_MS),
      fallback: '1h',
      meaning:
        'How long an unwrapped DEK is kept in memory for opening. This is how long values under a revoked, disabled or deleted KEK can still be read through us, and how long values open through an outage of the backend. `0`: not kept; every Decrypt waits for the backend, thousands of calls when kube-apiserver starts on v1.',
    },
    dekCacheSize: {
      form: integer(0, 1_000_000),
      fallback: 1000,
      meaning:
        'How many unwrapped DEKs are kept at most. Raise it when etcd has values under more DEKs than this (v1 with `dek: fresh` makes one for every write) and starts of kube-apiserver are slow. `0`: none are kept.',
    },
  },
  retry: {
    maxRetries: {
      form: integer(0, 10),
      fallback: 2,
      meaning:
        'How often a call is tried again after a failure that may pass, within `totalTimeout`. A wrong PIN and a denied permission are never tried again.',
    },
    callTimeoutMs: {
      form: duration(10, MINUTE_MS),
      fallback: '1s',
      meaning:
        'How long one call to the backend may take. An HSM that hangs longer has its process killed and replaced half a second later. Raise it for a slow network HSM.',
    },
    totalTimeoutMs: {
      form: duration(10, MINUTE_MS),
      fallback: '2500ms',
      meaning:
        "How long a whole request may take, retries included. Keep it below `timeout` in kube-apiserver's EncryptionConfiguration (3 s unless set): afterwards nobody waits for the answer.",
    },
    initialDelayMs: {
      form: duration(1, MINUTE_MS),
      fallback: '50ms',
      meaning: 'Upper bound of the random pause before the first retry; it doubles with each further one.',
    },
    maxDelayMs: {
      form: duration(1, MINUTE_MS),
      fallback: '1s',
      meaning: 'Where the doubling stops. Lower it to try more often within `totalTimeout`.',
    },
  },
  health: {
    address: {
      form: healthAddress,
      fallback: '127.0.0.1:20358',
      meaning:
        'Where `/livez`, `/readyz`, `/metrics`, `path` and `livePath` answer over plain HTTP. No key or Secret is served, but the names of keys are: leave it on loopback unless the network is trusted. `""`: no health server.',
    },
    path: {
      form: healthPath,
      fallback: '/healthz',
      meaning:
        'The path that answers as `/readyz` does; `<path>/liveness` and `<path>/readiness` stand below it. Change it to what existing probes ask for.',
    },
    livePath: {
      form: livePath,
      fallback: '/livez',
      meaning:
        'The path that answers as `/livez` does: whether this process runs, whatever the backend does. Change it to what existing probes ask for.',
    },
    probeIntervalMs: {
      form: duration(100, 10 * MINUTE_MS),
      fallback: '30s',
      meaning:
        'How often the primary key is tried in the background while it is healthy. While it is not: after 250 ms, doubling to 1 s, whatever is set here. Raise it where the backend charges for calls.',
    },
    onBackendOutage: {
      form: oneOf('report', 'error'),
      fallback: 'report',
      meaning:
        '`report`: while the backend is out, Status says so and kube-apiserver goes on writing under the DEK it has. `error`: Status fails, and kube-apiserver stops writing after 3 minutes; for those who would rather stop than write under a KEK that they cannot reach.',
    },
    metricsOf: {
      form: oneOf('aws-encryption-provider', 'vault-kubernetes-kms', ''),
      fallback: '',
      meaning:
        'The plugin that we replace, whose metrics are exported under its own names beside ours, so that its dashboards and alerts go on; [metrics.md](metrics.md) lists them. `""`: ours alone.',
    },
  },
  log: {
    level: {
      form: oneOf('trace', 'debug', 'info', 'warn', 'error'),
      fallback: 'info',
      meaning: 'The least level that is logged. `debug` shows requests and every call to the backend.',
    },
    allValues: {
      form: bool,
      fallback: false,
      meaning:
        'Log every answered request at level info. Else a success is logged at info only where it is rare (Encrypt on v2), and at debug elsewhere, at most 10 of an operation a second: the next line says in `unlogged` how many were left out. Failures always are. Keys, PINs and plaintext are never logged, whatever stands here.',
    },
  },
}

/** A row with its names; what stands in `form` fits the field of the config, as {@link Table} checks. */
export interface Row extends Setting<unknown> {
  readonly section: SectionName
  /** The name in {@link Config}. */
  readonly field: string
  /** The name in the file. */
  readonly key: string
}

/** The table as a list, in its order. */
export const rows: readonly Row[] = Object.entries(settings).flatMap(([section, fields]) =>
  Object.entries(fields as Readonly<Record<string, Setting<unknown>>>).map(([field, setting]) => ({
    section: section as SectionName,
    field,
    key: field.replace(/Ms$/, ''),
    ...setting,
  })),
)

export const sectionNames = Object.keys(settings) as readonly SectionName[]
