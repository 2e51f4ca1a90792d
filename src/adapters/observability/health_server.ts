/**
 * What does the plugin tell probes and Prometheus over HTTP?
 *
 * Rule: read only, no secrets, and cheap to abuse: few connections, short headers, short times, one request each.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { asKmsError, KmsError } from '../../ports/errors.js'
import type { HealthSource } from '../../ports/health.js'
import type { Logger } from '../../ports/logger.js'
import { healthPages } from './health_pages.js'
import type { Page } from './health_pages.js'

export interface HealthServerOptions {
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  /** The path beside /readyz that follows readiness, such as `/healthz`. */
  readonly path: string
  /** The path beside /livez that follows the process alone. */
  readonly livePath: string
  readonly health: HealthSource
  /** The body of /metrics. */
  readonly scrape: () => Promise<string>
  /** Of that body. */
  readonly contentType: string
  readonly logger: Logger
}

export interface HealthServer {
  /** Where it listens. */
  readonly port: number
  /** Stops listening and ends every connection at once, idle or not. Safe to call twice. */
  close(): Promise<void>
}

const MAX_CONNECTIONS = 64

const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  // Node looks for expired connections this often; by default every 30 s, whatever the timeouts say.
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8_192,
}

/** A client that takes the answer more slowly than this is cut off. */
const SOCKET_IDLE_MS = 10_000

/**
 * Serves /livez, /readyz, /metrics, `livePath`, `path`, `<path>/liveness` and `<path>/readiness` to GET and HEAD.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID` when it cannot listen at that address: in use, not ours, not allowed.
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const { host, port, logger } = options
  const pages = healthPages(options)
  const server = createServer(LIMITS, (request, response) => {
    pageFor(request, pages, logger)
      .then((page) => send(response, page))
      .catch(() => response.destroy())
  })
  server.maxConnections = MAX_CONNECTIONS
  server.setTimeout(SOCKET_IDLE_MS)

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(host, port, error)))
    // Without a host Node.js takes :: for both IPv6 and IPv4, and IPv4 alone on a machine that has no IPv6.
    server.listen(host === '::' ? { port } : { host, port }, resolve)
  })
  // accept() may fail later; without a listener that would end the process.
  server.on('error', (error) =>
    logger.warn('health server: cannot accept a connection', { reason: codeOf(error) }),
  )

  return {
    port: (server.address() as AddressInfo).port,
    close: async () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function pageFor(
  request: IncomingMessage,
  pages: ReadonlyMap<string, () => Page | Promise<Page>>,
  logger: Logger,
): Promise<Page> {
  const path = request.url?.split('?', 1)[0] ?? ''
  const make = pages.get(path)
  if (make === undefined) return { status: 404, body: 'not found\n' }
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return { status: 405, body: 'GET or HEAD only\n' }
  try {
    return await make()
  } catch (error) {
    logger.error('health server: a page could not be made', { path, reason: asKmsError(error).message })
    return { status: 500, body: 'internal error\n' }
  }
}

/** One request a connection: nothing stays open, and nobody can queue requests. Node leaves out the body at HEAD. */
function send(response: ServerResponse, { status, body, contentType }: Page): void {
  response.writeHead(status, {
    'Content-Type': contentType ?? 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    Connection: 'close',
    ...(status === 405 && { Allow: 'GET, HEAD' }),
  })
  response.end(body)
}

function cannotListen(host: string, port: number, cause: Error): KmsError {
  const what = `health.address: cannot listen on ${host} port ${port} (${codeOf(cause)})`
  return new KmsError('ERR_CONFIG_INVALID', `${what}: free it, set another address, or "" for none`, {
    cause,
  })
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
