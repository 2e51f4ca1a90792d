/** Answers that no server should give, by the thousand: does the reader of them ever do anything but read or refuse? */
import { getAttributes, locate, query, decrypt } from '../../../src/adapters/backends/kmip/calls.js'
import type { KmipCall } from '../../../src/adapters/backends/kmip/client.js'
import { Incoming } from '../../../src/adapters/backends/kmip/incoming.js'
import { decodeAnswer } from '../../../src/adapters/backends/kmip/messages.js'
import { blockCipherModes, operations, type Operation } from '../../../src/adapters/backends/kmip/tags.js'
import { TtlvError } from '../../../src/adapters/backends/kmip/ttlv.js'
import {
  date,
  enumerated,
  int,
  octets,
  str,
  struct,
  write,
  type Node,
} from '../../support/fakes/kmip_codec.js'
import type { Seeded } from '../../support/seeded.js'

export interface FuzzCount {
  inputs: number
  /** Taken for an answer, or for a refusal, of the server. */
  read: number
  refused: number
  /** Anything else that was thrown. */
  crashes: number
  /** The first of those. */
  first: unknown
}

const VERSION = { major: 1, minor: 4 }
const ID = Buffer.alloc(8, 1)
const UID = 'key-1'

interface Target {
  readonly operation: Operation
  readonly read: (message: Buffer) => unknown
  readonly good: Buffer
}

function answer(operation: number, ...payload: readonly Node[]): Buffer {
  return write(
    struct(
      0x42007b,
      struct(
        0x42007a,
        struct(0x420069, int(0x42006a, VERSION.major), int(0x42006b, VERSION.minor)),
        date(0x420092, 1_700_000_000),
        int(0x42000d, 1),
      ),
      struct(
        0x42000f,
        enumerated(0x42005c, operation),
        octets(0x420093, ID),
        enumerated(0x42007f, 0),
        struct(0x42007c, ...payload),
      ),
    ),
  )
}

function target<T>(call: KmipCall<T>, ...payload: readonly Node[]): Target {
  const { operation } = call
  return {
    operation,
    good: answer(operation, ...payload),
    read: (message) => {
      const said = decodeAnswer(message, { version: VERSION, operation, id: ID, payload: [] })
      return said.isSuccess ? call.read(said.payload, VERSION) : said
    },
  }
}

const attribute = (name: string, value: Node): Node => struct(0x420008, str(0x42000a, name), value)

const targets: readonly Target[] = [
  target(
    decrypt(() => ({ uid: UID, mode: blockCipherModes.GCM, data: Buffer.alloc(32) })),
    str(0x420094, UID),
    octets(0x4200c2, Buffer.alloc(32, 5)),
    octets(0x4200ff, Buffer.alloc(16, 6)),
  ),
  target(
    getAttributes(UID),
    str(0x420094, UID),
    attribute('State', enumerated(0x42000b, 2)),
    attribute('Cryptographic Length', int(0x42000b, 256)),
    attribute('Initial Date', date(0x42000b, 1_700_000_000)),
    attribute('Name', struct(0x42000b, str(0x420055, 'kek'), enumerated(0x420054, 1))),
  ),
  target(locate('kek', 2), str(0x420094, UID), str(0x420094, 'key-2')),
  target(query, enumerated(0x42005c, operations.ENCRYPT), str(0x42009d, 'a vendor')),
]

/** Values that lengths, types and counts break on. */
const odd: readonly number[] = [0, 1, 7, 8, 9, 0x7f, 0x80, 0xff]

function mutated(random: Seeded, good: Buffer): Buffer {
  switch (random.below(8)) {
    case 0:
      return random.bytes(random.below(64))
    case 1:
      return good.subarray(0, random.below(good.length))
    case 2:
      return Buffer.concat([good, random.bytes(1 + random.below(16))])
    case 3: {
      // A piece of itself in another place.
      const from = random.below(good.length)
      const piece = good.subarray(from, from + random.below(64))
      const to = random.below(good.length)
      return Buffer.concat([good.subarray(0, to), piece, good.subarray(to)])
    }
    default: {
      const bytes = Buffer.from(good)
      for (let changes = 1 + random.below(4); changes > 0; changes -= 1) {
        const at = random.below(bytes.length)
        bytes.writeUInt8(random.below(2) === 0 ? random.pick(odd) : random.below(256), at)
      }
      return bytes
    }
  }
}

/** Feeds one input as the network would, in pieces or whole, and then to the reader itself. */
function feed(random: Seeded, { read }: Target, input: Buffer): boolean {
  try {
    const incoming = new Incoming()
    const step = random.below(4) === 0 ? 1 + random.below(16) : Math.max(input.length, 1)
    for (let at = 0; at < input.length; at += step) incoming.add(Buffer.from(input.subarray(at, at + step)))
  } catch (error) {
    if (!(error instanceof TtlvError)) throw error
  }
  try {
    read(input)
    return true
  } catch (error) {
    if (!(error instanceof TtlvError)) throw error
    return false
  }
}

export function fuzz(random: Seeded, inputs: number): FuzzCount {
  const count: FuzzCount = { inputs, read: 0, refused: 0, crashes: 0, first: undefined }
  for (let i = 0; i < inputs; i += 1) {
    const one = random.pick(targets)
    try {
      if (feed(random, one, mutated(random, one.good))) count.read += 1
      else count.refused += 1
    } catch (error) {
      count.crashes += 1
      count.first ??= error
    }
  }
  return count
}

/** That the targets are read at all when nothing was changed: else nothing would be fuzzed behind the first check. */
export function unharmed(): readonly unknown[] {
  return targets.map(({ read, good }) => read(good))
}
