/** How are the places written where the plugin listens: the socket, who may use it, and the health address? */
import { isIP, isIPv4 } from 'node:net'
import { posix } from 'node:path'
import { textOf, type Form } from './forms.js'

/** `sun_path` of unix(7) holds 108 bytes, the last of them NUL. */
const SOCKET_PATH_MAX_BYTES = 107

/** An absolute path, or `unix://` and an absolute path. */
export const socketPath: Form<string> = {
  text: `absolute path, also as \`unix:///…\`, at most ${SOCKET_PATH_MAX_BYTES} bytes`,
  schema: { type: 'string', pattern: '^(unix://)?/[^@]' },
  read: (value) => {
    const given = textOf(value, '/run/kmsplugin/kms.sock')
    if (/^(unix-abstract:|(unix:)?\/{0,3}@)/.test(given)) {
      throw new Error(
        'must not be an abstract socket (@name): it has no permissions, and kube-apiserver cannot connect to one of Node.js',
      )
    }
    const path = given.startsWith('unix://') ? given.slice('unix://'.length) : given
    if (!path.startsWith('/')) throw new Error('must be an absolute path, or unix:// and an absolute path')
    if (path === '/' || path.endsWith('/') || posix.normalize(path) !== path || /\p{Cc}/u.test(path)) {
      throw new Error(
        'must be the plain path of a file: no "..", no "//", no "/" at the end, no control characters',
      )
    }
    if (Buffer.byteLength(path) > SOCKET_PATH_MAX_BYTES) {
      throw new Error(
        `must be at most ${SOCKET_PATH_MAX_BYTES} bytes: the kernel takes no longer socket path`,
      )
    }
    return path
  },
  write: (path) => path,
}

/** Octal permission bits in quotes: ours to read and write, nothing for the world. */
export const socketMode: Form<number> = {
  text: 'four octal digits in quotes, nothing for others',
  schema: { type: 'string', pattern: '^0[67][0-7]0$' },
  read: (value) => {
    const digits = textOf(value, '0600')
    if (!/^0[0-7]{3}$/.test(digits)) {
      throw new Error('must be four octal digits that begin with 0, such as "0600" or "0660"')
    }
    if (!digits.endsWith('0')) {
      throw new Error('must give nothing to others: whoever may connect may decrypt; use "0600" or "0660"')
    }
    if (!/^0[67]/.test(digits)) throw new Error('must let our own user read and write; use "0600" or "0660"')
    return Number.parseInt(digits, 8)
  },
  write: (mode) => `0${mode.toString(8).padStart(3, '0')}`,
}

const groupPattern = '^([A-Za-z_][A-Za-z0-9_.-]{0,31}|[0-9]{1,9})?$'

/** A name as in /etc/group, a group number, or nothing. */
export const socketGroup: Form<string> = {
  text: 'group name, group number in quotes, or `""`',
  schema: { type: 'string', pattern: groupPattern },
  read: (value) => {
    const group = textOf(value, '1000')
    if (!new RegExp(groupPattern).test(group)) throw new Error('must be a group name or number')
    return group
  },
  write: (group) => group,
}

export interface HostAndPort {
  readonly host: string
  readonly port: number
}

/** `host:port`, `[ipv6]:port`, `:port` for the loopback address; empty for no server at all. */
export const healthAddress: Form<HostAndPort | undefined> = {
  text: '`host:port`, `":port"` for 127.0.0.1, or `""`',
  schema: { type: 'string', pattern: '^((\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9.-]*):[0-9]{1,5})?$' },
  read: (value) => {
    const address = textOf(value, '127.0.0.1:20358')
    if (address === '') return undefined
    const parts = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]*)):([0-9]{1,5})$/.exec(address)
    if (parts === null) throw new Error('must be host:port, such as 127.0.0.1:20358, or "" for no server')
    const [, ipv6, name] = parts
    const port = Number(parts[3])
    if (port < 1 || port > 65_535) throw new Error('must have a port from 1 to 65535')
    const isGoodHost = ipv6 === undefined ? isHostName(name ?? '') : isIP(ipv6) === 6
    if (!isGoodHost) throw new Error('must have an IP address or a host name before the port')
    const host = ipv6 ?? name ?? ''
    return { host: host === '' ? '127.0.0.1' : host, port }
  },
  write: (address) => {
    if (address === undefined) return ''
    const host = address.host.includes(':') ? `[${address.host}]` : address.host
    return `${host}:${address.port}`
  },
}

/** RFC 1123 section 2.1; what looks like an IPv4 address must be one. */
function isHostName(name: string): boolean {
  if (/^[0-9.]+$/.test(name)) return isIPv4(name)
  return name === '' || /^(?!-)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*$/.test(name)
}

/** Paths that the health server answers whatever the config says. */
const fixedHealthPaths: readonly string[] = ['/livez', '/readyz', '/metrics']

/** Where readiness is asked. */
export const healthPath: Form<string> = urlPath('/healthz', '/readyz')

/** Where liveness is asked. */
export const livePath: Form<string> = urlPath('/livez', '/livez')

/**
 * The path of an HTTP URL.
 *
 * @param same The one fixed path that means the same, and so may be named.
 */
function urlPath(example: string, same: string): Form<string> {
  const others = fixedHealthPaths.filter((path) => path !== same)
  return {
    text: `URL path such as \`${example}\``,
    schema: { type: 'string', pattern: '^(/[A-Za-z0-9_.~-]+)+$', maxLength: 100 },
    read: (value) => {
      const path = textOf(value, example)
      if (path.length > 100 || !/^(\/[A-Za-z0-9_~.-]+)+$/.test(path) || posix.normalize(path) !== path) {
        throw new Error(
          `must begin with / and have only letters, digits and . _ ~ - between slashes, such as ${example}`,
        )
      }
      if (others.includes(path)) {
        throw new Error(`must not be one of ${others.join(', ')}, which have a meaning of their own`)
      }
      return path
    },
    write: (path) => path,
  }
}
