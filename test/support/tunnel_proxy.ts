/** An HTTP proxy on loopback that opens tunnels, as HTTPS_PROXY names one; every name leads to one port. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'

export class TunnelProxy {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** `host:port` of each tunnel that was asked for. */
  readonly asked: string[] = []
  /** What it answers: 200 opens the tunnel, 0 is no answer at all. */
  status = 200

  private constructor(target: () => number) {
    this.#server = createServer((client) => this.#accept(client, target()))
  }

  static async start(target: () => number): Promise<TunnelProxy> {
    const proxy = new TunnelProxy(target)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Open now, from its clients. */
  get connections(): number {
    return this.#sockets.size
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #accept(client: Socket, target: number): void {
    this.#sockets.add(client)
    client.on('error', () => undefined)
    client.on('close', () => this.#sockets.delete(client))
    client.once('data', (head) => {
      this.asked.push(/^CONNECT (\S+)/.exec(head.toString('latin1'))?.[1] ?? 'no tunnel')
      if (this.status === 0) return
      if (this.status !== 200) {
        client.end(`HTTP/1.1 ${this.status} No\r\ncontent-length: 0\r\n\r\n`)
        return
      }
      const server = connect(target, '127.0.0.1')
      server.on('error', () => client.destroy())
      client.on('close', () => server.destroy())
      client.write('HTTP/1.1 200 OK\r\n\r\n')
      client.pipe(server).pipe(client)
    })
  }
}
