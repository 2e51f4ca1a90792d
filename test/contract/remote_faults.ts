/** The suite that every backend on the network passes: what becomes of a call when network, service or files fail. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createSystemClock } from '../../src/adapters/system/clock.js'
import { ringKey } from '../../src/domain/keys.js'
import type { RetryConfig } from '../../src/ports/config.js'
import { asKmsError, KmsError } from '../../src/ports/errors.js'
import { DEK_BYTES, type CallOptions, type KeyWrapper, type WrappedDek } from '../../src/ports/key_wrapper.js'
import { outcomeOf } from '../doubles/outcome.js'
import { RecordingLogger } from '../doubles/recording_logger.js'
import { RecordingMetrics } from '../doubles/recording_metrics.js'
import type { Authority } from '../support/certificates.js'
import { makeAuthority, PrivateFiles } from '../support/certificates.js'
import type { FakeAnswer, FakeServer } from '../support/fakes/fake_server.js'
import { FaultProxy } from '../support/fault_proxy.js'

/** What a subject gets to connect with. */
export interface Connection {
  /** `https://127.0.0.1:port`, of the proxy. */
  readonly url: string
  readonly caFile: string
  readonly logger: RecordingLogger
  /** What a call may take. */
  readonly callTimeoutMs: number
}

/** A service that a test started, which speaks TLS with a certificate for 127.0.0.1, and a KEK in it. */
export interface RemoteSubject {
  readonly server: FakeServer
  /** A new wrapper over the KEK. */
  open(connection: Connection): KeyWrapper
  /** As the service says that it limits our rate, without headers. */
  readonly throttled: FakeAnswer
  /** As the service says that it is out for a while. */
  readonly unavailable: FakeAnswer
  /** From now on the service refuses whatever lets us in now; the same credentials still let us in anew. */
  endSessions?(): void
  /** The service takes other credentials from now on; the files of the plugin hold the old ones until the answer is called. */
  changeCredentials?(): () => void
  /** Texts that must not be in any log line or error, besides the DEK. Read at the end of each test. */
  secrets(): readonly string[]
  close(): Promise<void>
}

export interface SubjectParts {
  /** For the server. */
  readonly cert: string
  readonly key: string
  readonly authority: Authority
  readonly files: PrivateFiles
}

const clock = createSystemClock()
const CALL_TIMEOUT_MS = 600
/** As the README's defaults, but quicker. */
const policy: RetryConfig = {
  maxRetries: 2,
  callTimeoutMs: CALL_TIMEOUT_MS,
  totalTimeoutMs: 2000,
  initialDelayMs: 10,
  maxDelayMs: 50,
}
/** Nobody looks at the clock of a machine that is busy; a call that hangs would take for ever. */
const GUARD_MS = 20_000

function within(ms: number): CallOptions {
  return { deadlineMs: clock.nowMs() + ms, signal: AbortSignal.timeout(ms) }
}

/** @param has What of {@link RemoteSubject} this service knows. */
export function remoteFaults(
  name: string,
  makeSubject: (parts: SubjectParts) => Promise<RemoteSubject>,
  has: { readonly sessions: boolean; readonly credentials: boolean },
): void {
  describe(`a ${name} key wrapper on a bad day`, () => {
    let authority: Authority
    let files: PrivateFiles
    let subject: RemoteSubject
    let proxy: FaultProxy
    let logger: RecordingLogger
    let wrapper: KeyWrapper
    let dek: Buffer
    const errors: unknown[] = []

    const connection = (change: Partial<Connection> = {}): Connection => ({
      url: `https://127.0.0.1:${proxy.port}`,
      caFile: files.write('ca.pem', authority.cert),
      logger,
      callTimeoutMs: CALL_TIMEOUT_MS,
      ...change,
    })

    /** As the core calls it: bounded, and tried again by the one policy. */
    const core = (inner: KeyWrapper, change: Partial<RetryConfig> = {}): KeyWrapper =>
      ringKey('kek', inner, { ...policy, ...change }, clock, new RecordingMetrics()).wrapper

    const once = (inner: KeyWrapper): KeyWrapper => core(inner, { maxRetries: 0 })

    const failureOf = async (call: Promise<unknown>): Promise<KmsError> => {
      try {
        await call
      } catch (thrown) {
        errors.push(thrown)
        return asKmsError(thrown)
      }
      throw new Error('it did not fail')
    }

    const works = async (): Promise<WrappedDek> => {
      const wrapped = await core(wrapper).wrap(dek, within(GUARD_MS))
      expect(Buffer.from(await core(wrapper).unwrap(wrapped, within(GUARD_MS))).equals(dek)).toBe(true)
      return wrapped
    }

    beforeEach(async () => {
      authority = await makeAuthority()
      files = new PrivateFiles()
      const own = await authority.issue()
      subject = await makeSubject({ ...own, authority, files })
      proxy = await FaultProxy.start(subject.server.port)
      logger = new RecordingLogger()
      wrapper = subject.open(connection())
      dek = randomBytes(DEK_BYTES)
      errors.length = 0
    })

    afterEach(async () => {
      const said = JSON.stringify([logger.lines, errors.map((error) => [String(error), causesOf(error)])])
      await wrapper.close()
      await proxy.close()
      await subject.close()
      files.remove()
      for (const secret of [dek.toString('base64'), dek.toString('hex'), ...subject.secrets()]) {
        expect(secret.length).toBeGreaterThan(5)
        expect(said).not.toContain(secret)
      }
    })

    test.each([
      ['refuse', 'ERR_BACKEND_UNREACHABLE'],
      ['reset', 'ERR_BACKEND_UNREACHABLE'],
      ['torn', 'ERR_BACKEND_UNREACHABLE'],
      ['blackhole', 'ERR_DEADLINE_EXCEEDED'],
    ] as const)(
      'a network that does this ends the call in time, and nothing after it: %s',
      async (fault, code) => {
        const wrapped = await works()
        await proxy.fail(fault)
        expect((await failureOf(core(wrapper).unwrap(wrapped, within(GUARD_MS)))).code).toBe(code)
        expect((await failureOf(core(wrapper).wrap(dek, within(GUARD_MS)))).code).toBe(code)
        await proxy.fail(undefined)
        await works()
      },
    )

    test.each(['refuse', 'reset', 'blackhole'] as const)(
      'it may start while the network does this, and works without a restart afterwards: %s',
      async (fault) => {
        await proxy.fail(fault)
        await failureOf(once(wrapper).currentKeyId(within(GUARD_MS)))
        await proxy.fail(undefined)
        await works()
      },
    )

    test('one lost connection is not noticed', async () => {
      const wrapped = await works()
      await proxy.fail('reset')
      await proxy.fail(undefined)
      expect(await outcomeOf(once(wrapper).unwrap(wrapped, within(GUARD_MS)))).toBe('OK')
    })

    test('an answer that comes late is waited for within the time limit of a call', async () => {
      const wrapped = await works()
      proxy.slow(60)
      expect(await outcomeOf(once(wrapper).unwrap(wrapped, within(GUARD_MS)))).toBe('OK')
    })

    test.each(['torn', 'reset'] as const)('an answer that breaks off is tried again: %s', async (fault) => {
      const wrapped = await works()
      subject.server.failNext(fault)
      expect(await outcomeOf(core(wrapper).unwrap(wrapped, within(GUARD_MS)))).toBe('OK')
      subject.server.failNext(fault, Infinity)
      expect((await failureOf(once(wrapper).unwrap(wrapped, within(GUARD_MS)))).code).toBe(
        'ERR_BACKEND_UNREACHABLE',
      )
    })

    test('a service that never answers ends the call in time', async () => {
      const wrapped = await works()
      subject.server.failNext('stall', Infinity)
      expect((await failureOf(core(wrapper).unwrap(wrapped, within(GUARD_MS)))).code).toBe(
        'ERR_DEADLINE_EXCEEDED',
      )
      subject.server.fault = undefined
      await works()
    })

    test('a service that limits our rate is asked again; how long it wants to be left alone is kept', async () => {
      const wrapped = await works()
      subject.server.failNext(subject.throttled)
      expect(await outcomeOf(core(wrapper).unwrap(wrapped, within(GUARD_MS)))).toBe('OK')
      subject.server.failNext({ ...subject.throttled, headers: { 'retry-after': '7' } }, Infinity)
      const error = await failureOf(once(wrapper).unwrap(wrapped, within(GUARD_MS)))
      expect([error.code, error.retryAfterMs]).toEqual(['ERR_BACKEND_THROTTLED', 7000])
      const before = subject.server.requests.length
      await failureOf(core(wrapper).unwrap(wrapped, within(policy.totalTimeoutMs)))
      expect(subject.server.requests.length).toBe(before + 1)
    })

    test('a service that is out for a moment is asked again', async () => {
      const wrapped = await works()
      subject.server.failNext(subject.unavailable)
      expect(await outcomeOf(core(wrapper).unwrap(wrapped, within(GUARD_MS)))).toBe('OK')
      subject.server.failNext({ ...subject.unavailable, headers: { 'retry-after': '9' } }, Infinity)
      const error = await failureOf(core(wrapper).unwrap(wrapped, within(policy.totalTimeoutMs)))
      expect([error.code, error.retryAfterMs]).toEqual(['ERR_BACKEND_UNAVAILABLE', 9000])
    })

    test.each([
      ['a gateway without words', { status: 502, body: '' }, /^ERR_BACKEND_UNAVAILABLE$/],
      ['a page of a proxy', { status: 503, body: '<html>down</html>' }, /^ERR_BACKEND_UNAVAILABLE$/],
      ['a page in place of JSON', { status: 200, body: '<html>hello</html>' }, /^ERR_BACKEND_RESPONSE$/],
      ['nothing at all', { status: 200, body: '' }, /^ERR_BACKEND_RESPONSE$/],
      ['an empty object', { status: 200, body: {} }, /^ERR_BACKEND_RESPONSE$/],
      ['a list', { status: 200, body: [] }, /^ERR_BACKEND_RESPONSE$/],
      [
        'more than anybody reads',
        { status: 200, body: 'x'.repeat(3 * 1024 * 1024) },
        /^ERR_BACKEND_(RESPONSE|UNREACHABLE)$/,
      ],
    ] as const)('an answer that is none of the service is refused: %s', async (_name, answer, code) => {
      const wrapped = await works()
      subject.server.failNext(answer, Infinity)
      expect((await failureOf(once(wrapper).unwrap(wrapped, within(GUARD_MS)))).code).toMatch(code)
      expect((await failureOf(once(wrapper).wrap(dek, within(GUARD_MS)))).code).toMatch(code)
      subject.server.fault = undefined
      await works()
    })

    test.each([301, 302, 307, 308])('a redirect is not followed: %s', async (status) => {
      const wrapped = await works()
      const elsewhere = await FaultProxy.start(subject.server.port)
      try {
        const location = `https://127.0.0.1:${elsewhere.port}/`
        subject.server.failNext({ status, headers: { location }, body: '' }, Infinity)
        const { code } = await failureOf(once(wrapper).unwrap(wrapped, within(GUARD_MS)))
        expect(code).toBe('ERR_BACKEND_RESPONSE')
        expect(elsewhere.connections).toBe(0)
      } finally {
        await elsewhere.close()
      }
    })

    describe('the certificate of the service', () => {
      /** A wrapper that meets a server with another certificate. */
      const meets = async (
        cert: string,
        key: string,
        change: Partial<Connection> = {},
      ): Promise<KmsError> => {
        const other = await makeSubject({ cert, key, authority, files })
        const opened = other.open(connection({ url: other.server.url, ...change }))
        try {
          return await failureOf(once(opened).currentKeyId(within(GUARD_MS)))
        } finally {
          await opened.close()
          await other.close()
          expect(other.server.requests).toEqual([])
        }
      }

      test('that has expired is refused, and the message names the clock', async () => {
        const past = { notBefore: new Date(Date.now() - 2e8), notAfter: new Date(Date.now() - 1e8) }
        const { cert, key } = await authority.issue(past)
        const error = await meets(cert, key)
        expect(error.code).toBe('ERR_BACKEND_UNREACHABLE')
        expect(error.message).toContain('expired')
      })

      test('that is not valid yet is refused', async () => {
        const { cert, key } = await authority.issue({ notBefore: new Date(Date.now() + 1e7) })
        const error = await meets(cert, key)
        expect(error.code).toBe('ERR_BACKEND_UNREACHABLE')
        expect(error.message).toContain('not valid yet')
      })

      test('for another name is refused', async () => {
        const { cert, key } = await authority.issue({ names: ['kms.example.com'] })
        const error = await meets(cert, key)
        expect(error.code).toBe('ERR_BACKEND_UNREACHABLE')
        expect(error.message).toContain('another name')
      })

      test('of an unknown authority is refused', async () => {
        const { cert, key } = await (await makeAuthority('somebody else')).issue()
        const error = await meets(cert, key)
        expect(error.code).toBe('ERR_BACKEND_UNREACHABLE')
        expect(error.message).toContain('authority')
      })

      test('is looked at again when the CA file was replaced', async () => {
        await works()
        const second = await makeAuthority('the next authority')
        const { cert, key } = await second.issue()
        const other = await makeSubject({ cert, key, authority, files })
        const caFile = files.write('two.pem', authority.cert)
        const opened = other.open(connection({ url: other.server.url, caFile }))
        try {
          await failureOf(once(opened).currentKeyId(within(GUARD_MS)))
          files.write('two.pem', `${authority.cert}\n${second.cert}`)
          expect(await outcomeOf(once(opened).currentKeyId(within(GUARD_MS)))).toBe('OK')
        } finally {
          await opened.close()
          await other.close()
        }
      })
    })

    test('a name that DNS does not know ends the call in time', async () => {
      const lost = subject.open(connection({ url: 'https://kms.invalid:8200' }))
      const { code } = await failureOf(core(lost).currentKeyId(within(GUARD_MS)))
      await lost.close()
      expect(['ERR_BACKEND_UNREACHABLE', 'ERR_DEADLINE_EXCEEDED']).toContain(code)
    })

    test('a CA file that cannot be used is named', async () => {
      for (const caFile of [join404(files), files.write('bad.pem', 'no certificate')]) {
        const lost = subject.open(connection({ caFile }))
        const error = await failureOf(once(lost).currentKeyId(within(GUARD_MS)))
        await lost.close()
        expect(error.code).toBe('ERR_CONFIG_INVALID')
        expect(error.message).toContain(caFile)
      }
    })

    test('a call that is under way when the plugin stops ends at once', async () => {
      const wrapped = await works()
      subject.server.failNext('stall', Infinity)
      const before = subject.server.requests.length
      const call = failureOf(wrapper.unwrap(wrapped, within(GUARD_MS)))
      while (subject.server.requests.length === before) await clock.sleep(1)
      await wrapper.close()
      expect((await call).code).toMatch(/^ERR_(SHUTTING_DOWN|DEADLINE_EXCEEDED)$/)
      expect((await failureOf(wrapper.unwrap(wrapped, within(GUARD_MS)))).code).toBe('ERR_SHUTTING_DOWN')
    })

    if (has.sessions)
      test('credentials that end in the middle are renewed, and nobody notices', async () => {
        const wrapped = await works()
        subject.endSessions?.()
        expect(await outcomeOf(core(wrapper).unwrap(wrapped, within(GUARD_MS)))).toBe('OK')
      })

    if (has.credentials)
      test('credentials that were replaced on the disk are used without a restart', async () => {
        const wrapped = await works()
        const replaceFiles = subject.changeCredentials?.()
        const { code } = await failureOf(core(wrapper).unwrap(wrapped, within(GUARD_MS)))
        expect(code).toMatch(/^ERR_(LOGIN_REFUSED|ACCESS_DENIED)$/)
        replaceFiles?.()
        expect(await outcomeOf(core(wrapper).unwrap(wrapped, within(GUARD_MS)))).toBe('OK')
      })
  })
}

function join404(files: PrivateFiles): string {
  return `${files.folder}/absent.pem`
}

function causesOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof Error ? `${cause.stack ?? ''} ${causesOf(cause)}` : JSON.stringify(cause ?? '')
}
