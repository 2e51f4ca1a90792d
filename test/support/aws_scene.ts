/** An AWS backend for a test: its settings, its environment (which the SDK reads from the process), its parts. */
import { AwsKmsClient } from '../../src/adapters/backends/aws/client.js'
import { settings, type AwsSettings } from '../../src/adapters/backends/aws/settings.js'
import { AwsKeyWrapper } from '../../src/adapters/backends/aws/wrapper.js'
import { createSystemClock } from '../../src/adapters/system/clock.js'
import type { Clock } from '../../src/ports/clock.js'
import type { Logger } from '../../src/ports/logger.js'
import { silentLogger } from '../../src/ports/logger.js'
import type { CallOptions } from '../../src/ports/key_wrapper.js'
import type { FakeAws } from './fakes/aws.js'
import type { Identity } from './fakes/aws/identities.js'

const clock = createSystemClock()

/** Nothing of the machine that the tests run on: no credentials, no files, no metadata service. */
const NOTHING = {
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
  AWS_SHARED_CREDENTIALS_FILE: '/nonexistent/credentials',
  AWS_CONFIG_FILE: '/nonexistent/config',
}

export type Env = Readonly<Record<string, string>>

/** Replaces all variables of AWS in the environment of this process; the answer puts the old ones back. */
export function useEnv(env: Env): () => void {
  const before = { ...process.env }
  forget()
  Object.assign(process.env, NOTHING, env)
  if (env['AWS_EC2_METADATA_SERVICE_ENDPOINT'] !== undefined) delete process.env['AWS_EC2_METADATA_DISABLED']
  return () => {
    forget()
    for (const [name, value] of Object.entries(before)) if (name.startsWith('AWS_')) process.env[name] = value
  }
}

function forget(): void {
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('AWS_') && !name.startsWith('AWS_SDK_JS')) Reflect.deleteProperty(process.env, name)
  }
}

export function envOf({ accessKeyId, secretAccessKey, sessionToken }: Identity): Env {
  return {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    ...(sessionToken === undefined ? {} : { AWS_SESSION_TOKEN: sessionToken }),
  }
}

export interface Parts {
  readonly logger?: Logger
  readonly clock?: Clock
  readonly callTimeoutMs?: number
}

export function partsWith(parts: Parts = {}) {
  return { clock, logger: silentLogger, callTimeoutMs: 10_000, env: process.env, ...parts }
}

/** @param section Settings beside `backend`; those that the schema refuses throw. */
export function openAws(section: Omit<AwsSettings, 'backend'>, parts: Parts = {}): AwsKeyWrapper {
  const parsed = settings.parse({ backend: 'aws', ...section })
  const deps = partsWith(parts)
  return new AwsKeyWrapper(new AwsKmsClient(parsed, deps), deps.clock, deps.logger, parsed)
}

/** A wrapper over a key of the fake. */
export function openOn(
  aws: FakeAws,
  keyId: string,
  change: Partial<AwsSettings> = {},
  parts: Parts = {},
): AwsKeyWrapper {
  return openAws({ keyId, region: 'eu-west-1', endpoint: aws.server.url, ...change }, parts)
}

/** Generous: the tests assert answers, not speed. */
export function within(ms = 20_000): CallOptions {
  return { deadlineMs: clock.nowMs() + ms, signal: AbortSignal.timeout(ms) }
}
