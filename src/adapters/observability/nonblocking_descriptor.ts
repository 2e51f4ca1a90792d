/**
 * How is a descriptor written without ever waiting for its reader?
 *
 * A pipe whose reader is stuck blocks its writer. On the main thread that stops the plugin; on a thread of libuv's
 * pool it survives until the end, when the exit of the process waits for that thread for ever. So the descriptor
 * must not block at all.
 */
import { constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'

/**
 * Returns a descriptor that leads where `fd` leads and answers EAGAIN instead of waiting.
 *
 * A pipe or a terminal is opened anew, since O_NONBLOCK belongs to the open file description, which other processes
 * may share. A socket (systemd's journal) cannot be opened anew and is switched in place. A file has no reader to
 * wait for. Where neither works, `fd` comes back as it is.
 */
export function withoutWaiting(fd: number): number {
  try {
    if (fstatSync(fd).isFile()) return fd
    // Linux only, and refused for sockets, for another user's terminal and for a pipe that nobody reads.
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch {
    switchInPlace(fd)
    return fd
  }
}

/** libuv sets O_NONBLOCK on a descriptor when it takes it over. The socket is never used and never closed. */
function switchInPlace(fd: number): void {
  try {
    new Socket({ fd, readable: false }).unref()
  } catch {
    // Neither pipe nor socket: it stays as it is.
  }
}
