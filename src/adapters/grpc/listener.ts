/** Lets connections in: a bounded number, and only those that speak. */
import { createServer, type Server, type Socket } from 'node:net'

export interface ConnectionLimits {
  readonly maxConnections: number
  /** A peer that sends nothing for so long is dropped: grpc-js has no such limit of its own. */
  readonly firstByteTimeoutMs: number
}

export interface Listener {
  /** A server that listens once the caller has bound it; all of them share the limits and the connections. */
  open(): Server
  /**
   * Accepts nothing more and drops those that have not spoken. Resolves when the last connection is gone; who
   * speaks on them ends them. Safe to call twice.
   */
  close(): Promise<void>
  /** Destroys every connection. */
  destroyAll(): void
}

/**
 * @param accept Gets each connection after its first bytes arrived; they are still to be read.
 * @param onFailure Told why a connection could not be accepted: `EMFILE`, `ENOBUFS`.
 */
export function createListener(
  limits: ConnectionLimits,
  accept: (socket: Socket) => void,
  onFailure: (code: string) => void,
): Listener {
  const connections = new Set<Socket>()
  const silent = new Set<Socket>()
  let closed: Promise<void> | undefined
  const servers: Server[] = []
  const connected = (socket: Socket) => {
    // Without a listener a reset connection would end the process.
    socket.on('error', () => socket.destroy())
    if (connections.size >= limits.maxConnections) {
      socket.destroy()
      return
    }
    connections.add(socket)
    silent.add(socket)
    const silence = setTimeout(() => socket.destroy(), limits.firstByteTimeoutMs)
    socket.once('close', () => {
      clearTimeout(silence)
      silent.delete(socket)
      connections.delete(socket)
    })
    socket.once('data', (bytes: Buffer) => {
      clearTimeout(silence)
      silent.delete(socket)
      socket.pause()
      socket.unshift(bytes)
      accept(socket)
    })
  }
  return {
    open: () => {
      const server = createServer(connected)
      server.once('listening', () => {
        servers.push(server)
        // accept() may fail at any time. Without a listener that would end the process.
        server.on('error', (error: NodeJS.ErrnoException) => onFailure(error.code ?? error.name))
      })
      return server
    },
    close: async () => {
      closed ??= Promise.all(servers.map(ended)).then(() => undefined)
      for (const socket of silent) socket.destroy()
      return closed
    },
    destroyAll: () => {
      for (const socket of connections) socket.destroy()
    },
  }
}

async function ended(server: Server): Promise<void> {
  await new Promise<void>((resolve) => server.close(() => resolve()))
}
