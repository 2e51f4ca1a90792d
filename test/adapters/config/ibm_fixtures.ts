/** A file as IBM publishes it, and a backend for its root keys: what the tests of that layout share. */
import { z } from 'zod'
import { backends } from '../../../src/adapters/backends/index.js'
import { createConfigSource } from '../../../src/adapters/config/config_source.js'
import { ibmSections } from '../../../src/adapters/config/ibm/keys.js'
import { formats } from '../../../src/adapters/formats/index.js'
import type { Config, ConfigProblem } from '../../../src/ports/config.js'
import { fakeBackends, fileWith } from './fixtures.js'

type Values = Readonly<Record<string, unknown>>

/** With the settings that the backend `ibm` has. */
const standIn = z.strictObject({
  backend: z.literal('ibm'),
  url: z.string().regex(/^https:\/\//, 'must begin with https://'),
  instanceId: z.string().min(1),
  keyId: z.string().min(1),
  apiKey: z.string().regex(/^(file|ibm-config):\/|^env:/),
  tokenUrl: z
    .string()
    .regex(/^https:\/\//, 'must begin with https://')
    .default('https://iam.cloud.ibm.com/identity/token'),
  caFile: z.string().regex(/^\//, 'must be the absolute path of a file').optional(),
  tokenCaFile: z.string().regex(/^\//, 'must be the absolute path of a file').optional(),
})

const registered = Object.entries(backends).map(
  ([name, load]) => [name, async (): Promise<z.ZodType> => (await load()).settings] as const,
)

/** The registered backends, and a stand-in for `ibm` where there is none. */
export const ibmSource = createConfigSource(
  { ...fakeBackends, ibm: async () => standIn, ...Object.fromEntries(registered) },
  Object.fromEntries(formats.map((format) => [format.name, format])),
)

export const API_KEY = 'canary-api-key-0123456789'

/** All 19 keys as they stand in IBM's documentation, in its order; what it has in angle brackets is filled in. */
export const published: Readonly<Record<(typeof ibmSections)[number], Values>> = {
  SERVER_CONFIG: {
    REGION: 'IBMCloudPakForMCM',
    NUM_LEN_BYTES: 4,
    CACHE_TIMEOUT_IN_HOURS: 1,
    RESTART_DELAY_IN_SECONDS: 30,
    UNIX_SOCKET_PATH: '/etc/origin/master/keyprotectprovider.sock',
    TOKEN_URL: 'https://iam-token-service.kube-system:10443/oidc/token',
    TOKEN_URL_CA_FILE: '/etc/origin/master/kmsplugin/iam-ca.pem',
    API_KEY,
    HEALTHZ_PATH: '/healthz',
    HEALTHZ_PORT: ':20358',
    NEW_DEK: false,
    MAX_RETRIES: 0,
  },
  KP_CONFIG: {
    VERSION: 1,
    CRK_ID: 'b2f1d6a0-5c1e-4f0b-9a3d-0a8d9be1c001',
    URL: 'https://kms-api.kube-system:28674',
    KP_CA_FILE: '/etc/origin/master/kmsplugin/kms-ca.pem',
    INSTANCE_ID: '7f2c9e4b-33d1-4be0-8a55-5f1b6f0ad002',
  },
  LOGGER: { LOG_LEVEL: 'info', LOG_ALL_VALUES: false },
}

/** What stands beside the sections, as in our own layout. */
export const ownKey = 'primary: hsm\nkeys:\n  hsm:\n    backend: disk\n    path: /var/lib/k\n'

/**
 * As YAML, strings in quotes, one key a line.
 *
 * @param changes By `SECTION.KEY`; `undefined` removes the key. `SECTION: undefined` removes the section.
 */
export function ibmFile(changes: Values = {}, beside = ''): string {
  const lines = ibmSections.flatMap((section) => {
    if (section in changes && changes[section] === undefined) return []
    const values: Record<string, unknown> = { ...published[section] }
    for (const [path, value] of Object.entries(changes)) {
      const [where, key = ''] = path.split('.')
      if (where === section && key !== '') values[key] = value
    }
    const given = Object.entries(values).filter(([, value]) => value !== undefined)
    return [`${section}:`, ...given.map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`)]
  })
  return `${lines.join('\n')}\n${beside}`
}

/** The line on which `text` begins, as a problem counts it. */
export function lineOf(content: string, text: string): number {
  return content.split('\n').findIndex((line) => line.trimStart().startsWith(text)) + 1
}

export async function ibmProblems(content: string): Promise<readonly ConfigProblem[]> {
  return (await ibmSource.load(fileWith(content))).problems
}

export interface Loaded {
  readonly file: string
  readonly config: Config
  readonly notices: readonly ConfigProblem[]
}

export async function loadIbm(content: string): Promise<Loaded> {
  const file = fileWith(content)
  const result = await ibmSource.load(file)
  if (!('config' in result)) throw new Error(JSON.stringify(result.problems))
  return { file, config: result.config, notices: result.notices }
}
