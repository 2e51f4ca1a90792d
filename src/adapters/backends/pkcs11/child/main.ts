/**
 * The process that holds the HSM: the vendor's library, the PIN and the sessions live here and nowhere else.
 *
 * Rule: this thread never calls the module, so that it always sees the plugin go away; it then kills its own
 * process, since a thread that hangs in the module would keep it.
 */
import { writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { Channel } from '../shared/channel.js'
import { CHANNEL_FD, type ToHsm } from '../shared/messages.js'
import { Crew } from './crew.js'

// A core dump would hold the PIN and DEKs. Elsewhere than on Linux there is no such file.
try {
  writeFileSync('/proc/self/coredump_filter', '0')
} catch {
  // The operator's ulimit decides.
}

// A terminal and systemd signal the whole group: the plugin needs the HSM to drain, and ends us when it is done.
// Node would answer SIGUSR1 by opening its debugger.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGUSR1'] as const) process.on(signal, () => undefined)

let crew: Crew | undefined

const channel = new Channel(new Socket({ fd: CHANNEL_FD, readable: true, writable: true }), {
  message(value) {
    const message = value as ToHsm
    if (message.type === 'start') crew ??= new Crew(message.target, (answer) => channel.send(answer))
    else if (message.type === 'grant') crew?.grant(message.grant)
    else crew?.add(message.id, message.request)
  },
  broken() {
    process.kill(process.pid, 'SIGKILL')
  },
})
