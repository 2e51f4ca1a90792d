/** A TCP proxy on loopback between a backend and its server, which fails as networks fail. Knows no protocol. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export type NetworkFault =
  /** Nobody listens. */
  | 'refuse'
  /** Connections are accepted and reset; those that are open as well. */
  | 'reset'
  /** Connections are accepted, and no byte moves any more in either direction. */
  | 'blackhole'
  /** Answers are cut in their middle: the first half of the next piece, then a reset. */
  | 'torn'

export class FaultProxy {
  readonly #target: number
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #server: Server | undefined
  #fault: NetworkFault | undefined
  #delayMs = 0
  port = 0
  /** Connections accepted so far. */
  connections = 0

  private constructor(targetPort: number) {
    this.#target = targetPort
  }

  /** @param targetPort On 127.0.0.1, of a server that the test started. */
  static async start(targetPort: number): Promise<FaultProxy> {
    const proxy = new FaultProxy(targetPort)
    await proxy.#listen()
    return proxy
  }

  /** Connections that are open now. */
  get open(): number {
    return this.#pairs.size
  }

  /** From now on, `undefined`: no fault. Open connections are cut, but for `blackhole` and `torn`, which freeze them. */
  async fail(fault: NetworkFault | undefined): Promise<void> {
    this.#fault = fault
    if (fault === 'refuse') await this.#stopListening()
    else if (this.#server === undefined) await this.#listen()
    if (fault === 'blackhole') for (const pair of this.#pairs) pair.forEach((socket) => socket.pause())
    else if (fault !== 'torn') this.#cutAll()
  }

  /** Every piece of an answer arrives so much later. */
  slow(delayMs: number): void {
    this.#delayMs = delayMs
  }

  async close(): Promise<void> {
    this.#cutAll()
    await this.#stopListening()
  }

  async #listen(): Promise<void> {
    this.#server = createServer((client) => this.#accept(client)).listen(this.port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.port = (this.#server.address() as AddressInfo).port
  }

  async #stopListening(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = once(server, 'close')
    server.close()
    this.#cutAll()
    await closed
  }

  #accept(client: Socket): void {
    this.connections += 1
    client.on('error', () => undefined)
    if (this.#fault === 'reset') {
      client.resetAndDestroy()
      return
    }
    const server = connect(this.#target, '127.0.0.1')
    server.on('error', () => undefined)
    const pair = [client, server] as const
    this.#pairs.add(pair)
    const end = () => {
      this.#pairs.delete(pair)
      client.destroy()
      server.destroy()
    }
    client.on('close', end)
    server.on('close', end)
    if (this.#fault === 'blackhole') {
      client.pause()
      return
    }
    client.on('data', (bytes) => {
      if (this.#fault !== 'blackhole') server.write(bytes)
    })
    server.on('data', (bytes) => this.#answer(client, bytes))
  }

  #answer(client: Socket, bytes: Buffer): void {
    if (this.#fault === 'blackhole') return
    if (this.#fault === 'torn') {
      client.write(bytes.subarray(0, bytes.length >> 1), () => client.resetAndDestroy())
      return
    }
    if (this.#delayMs === 0) client.write(bytes)
    else setTimeout(() => client.writable && client.write(bytes), this.#delayMs)
  }

  #cutAll(): void {
    for (const pair of this.#pairs) pair.forEach((socket) => socket.destroy())
  }
}
