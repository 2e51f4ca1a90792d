/** What may arrive on the socket that is almost HTTP/2: frames as RFC 9113 draws them, and wrong ones from a seed. */
import type { Seeded } from './seeded.js'

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

const types = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const

export type FrameType = keyof typeof types

/** RFC 9113 section 4.1. */
export function frame(
  type: FrameType | number,
  flags: number,
  streamId: number,
  payload: Uint8Array,
): Buffer {
  const header = Buffer.alloc(9)
  header.writeUIntBE(payload.length, 0, 3)
  header.writeUInt8(typeof type === 'number' ? type : types[type], 3)
  header.writeUInt8(flags, 4)
  header.writeUInt32BE(streamId, 5)
  return Buffer.concat([header, payload])
}

/** A header field without Huffman coding and without the table (RFC 7541 section 6.2.2); up to 126 bytes each. */
function field(name: string, value: string): Buffer {
  return Buffer.concat([
    Buffer.of(0, name.length),
    Buffer.from(name, 'latin1'),
    Buffer.of(value.length),
    Buffer.from(value, 'latin1'),
  ])
}

export function requestHeaders(fields: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(Object.entries(fields).map(([name, value]) => field(name, value)))
}

const paths = [
  '/v2.KeyManagementService/Status',
  '/v2.KeyManagementService/Encrypt',
  '/v2.KeyManagementService/Decrypt',
  '/none',
  '',
  '*',
]
const authorities = ['localhost', '/run/kms.sock', '%2Frun%2Fkms.sock', '', '\x00', 'a b']
const contentTypes = ['application/grpc', 'application/grpc+proto', 'text/html', '']
const encodings = ['identity', 'gzip', 'deflate', 'zstd', '']
const timeouts = ['3S', '0S', '-1S', '99999999H', 'x', '', '1']

function oddHeaders(random: Seeded): Buffer {
  const fields: Record<string, string> = {
    ':method': random.pick(['POST', 'POST', 'GET', 'CONNECT', '']),
    ':scheme': random.pick(['http', 'https', '']),
    ':path': random.pick(paths),
    ':authority': random.pick(authorities),
    'content-type': random.pick(contentTypes),
    te: random.pick(['trailers', 'gzip']),
    'grpc-encoding': random.pick(encodings),
    'grpc-timeout': random.pick(timeouts),
    [random.pick(['x-a', 'X-A', ':odd', 'connection', ''])]: random.pick(['v', '\r\n', '\x7f']),
  }
  return requestHeaders(fields)
}

function oddFrame(random: Seeded): Buffer {
  const streamId = random.pick([0, 1, 3, 5, 2, 2 ** 31 - 1])
  const some = () => random.bytes(random.below(40))
  switch (random.below(10)) {
    case 0:
      return frame('headers', random.pick([4, 5, 0, 0x2d]), streamId, oddHeaders(random))
    case 1: {
      const headers = frame('headers', 4, 1, oddHeaders(random))
      return Buffer.concat([
        headers,
        frame('data', random.below(2), 1, Buffer.concat([random.bytes(5), some()])),
      ])
    }
    case 2:
      return frame('reset', 0, streamId, random.bytes(random.pick([4, 4, 3])))
    case 3:
      return frame('window', 0, streamId, random.bytes(random.pick([4, 4, 5])))
    case 4:
      return frame(
        'settings',
        random.below(2),
        random.pick([0, 0, 1]),
        random.bytes(random.pick([0, 6, 12, 7])),
      )
    case 5:
      return frame('ping', random.below(2), random.pick([0, 0, 1]), random.bytes(random.pick([8, 8, 7])))
    case 6:
      return frame('goaway', 0, 0, random.bytes(8 + random.below(20)))
    case 7:
      return frame('continuation', random.pick([0, 4]), streamId, some())
    case 8:
      return frame('data', random.below(256), streamId, some())
    default:
      return frame(random.below(256), random.below(256), streamId, some())
  }
}

/** All the bytes of one bad connection: most begin well; some have a flipped bit, some are cut short. */
export function oddConnection(random: Seeded): Buffer {
  const frames = Array.from({ length: 1 + random.below(12) }, () => oddFrame(random))
  const start = random.below(10) === 0 ? [] : [PREFACE, frame('settings', 0, 0, Buffer.alloc(0))]
  const bytes = Buffer.concat([...start, ...frames])
  if (random.below(100) < 15) {
    const at = random.below(bytes.length)
    bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at)
  }
  return random.below(100) < 5 ? bytes.subarray(0, random.below(bytes.length)) : bytes
}
