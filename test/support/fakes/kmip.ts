/**
 * A KMIP server of our own, for what real ones do on bad days and in bad versions. Written from the specification, on a
 * codec that shares nothing with the adapter.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import * as codec from './kmip_codec.js'
import { at, enumerated, int, octets, str, struct, type Node } from './kmip_codec.js'

export interface FakeKey {
  readonly uid: string
  readonly material: Buffer
  name: string | undefined
  /** 1 Pre-Active, 2 Active, 3 Deactivated, 4 Compromised, 5 Destroyed. */
  state: number
  algorithm: number
  bits: number
  mask: number
  /** Seconds since 1970. */
  initialDate: number | undefined
  deactivationDate?: number
  /** Who may not use it is refused so. */
  isForbidden?: boolean
}

export interface Refuse {
  readonly reason: number
  readonly message?: string
}

/** What goes wrong with one request, after it was read. */
export type KmipFault =
  | Refuse
  /** Nothing, the connection breaks, or breaks in the middle of the answer. */
  | 'stall'
  | 'reset'
  | 'torn'
  /** The answer, or what takes its place. */
  | { readonly bytes: (answer: Buffer, request: Node) => Buffer | readonly Buffer[] }

export interface FakeRequest {
  readonly version: string
  readonly operation: number
  readonly payload: Node
  readonly message: Buffer
}

/** How a server differs from a good one. */
export interface Habits {
  /** Versions that it speaks, its favourite first. */
  versions?: readonly string[]
  /** Answers OperationNotSupported to DiscoverVersions. */
  hasDiscovery?: boolean
  /** Puts the tag behind the data before 1.4, where PyKMIP drops it. */
  appendsTag?: boolean
  /** Throws the tag away where it has a field. */
  dropsTag?: boolean
  /** Block cipher modes that it knows: 9 GCM, 12 AES-KWP, 13 AES-KW. */
  modes?: readonly number[]
  /** Opens whatever the tag says. */
  ignoresTag?: boolean
  /** Encrypts and opens without the associated data. */
  ignoresAad?: boolean
  /** Reason for a bad tag: OVHcloud says 0x0a, PyKMIP 0x100. */
  badTagReason?: number
  /** Locate passes over these filters. */
  ignoresFilters?: readonly string[]
  /** Deactivated keys open. */
  deactivatedOpens?: boolean
  /** Operations that Query names; all when absent. */
  offers?: readonly number[]
}

export const OPERATIONS = {
  create: 1,
  locate: 8,
  get: 10,
  getAttributes: 11,
  query: 24,
  discover: 30,
  encrypt: 31,
  decrypt: 32,
} as const

const no = (reason: number, message = ''): Refuse => ({ reason, message })

export class FakeKmip {
  readonly #server: Server
  readonly #sockets = new Set<TLSSocket>()
  readonly requests: FakeRequest[] = []
  readonly keys = new Map<string, FakeKey>()
  habits: Habits
  /** Looked at before each request that is no greeting, or each at all with `faultsGreetings`. */
  fault: ((request: FakeRequest) => KmipFault | undefined) | undefined
  faultsGreetings = false
  /** Connections whose handshake succeeded. */
  connections = 0

  private constructor(tls: TlsOptions, habits: Habits) {
    this.habits = habits
    this.#server = createServer(tls, (socket) => this.#accept(socket))
    this.#server.on('tlsClientError', () => undefined)
  }

  static async start(tls: TlsOptions, habits: Habits = {}): Promise<FakeKmip> {
    const fake = new FakeKmip(tls, habits)
    fake.#server.listen(0, '127.0.0.1')
    await once(fake.#server, 'listening')
    return fake
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  addKey(change: Partial<FakeKey> = {}): FakeKey {
    const key: FakeKey = {
      uid: `${this.keys.size + 1}`,
      material: randomBytes((change.bits ?? 256) / 8),
      name: undefined,
      state: 2,
      algorithm: 3,
      bits: 256,
      mask: 0x0c,
      initialDate: 1_700_000_000 + this.keys.size,
      ...change,
    }
    this.keys.set(key.uid, key)
    return key
  }

  /** The next `count` requests that `matches` fail so. */
  failNext(fault: KmipFault, count = 1, matches: (request: FakeRequest) => boolean = () => true): void {
    let left = count
    this.fault = (request) => {
      if (left === 0 || !matches(request)) return undefined
      left -= 1
      return fault
    }
  }

  /** How often each operation was asked since the last time. */
  counted(): Record<number, number> {
    const counts: Record<number, number> = {}
    for (const { operation } of this.requests.splice(0)) counts[operation] = (counts[operation] ?? 0) + 1
    return counts
  }

  /** Hangs up on everybody, as a server does after a while. */
  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  /** Says something that nobody asked for, to everybody. */
  babble(bytes: Buffer): void {
    for (const socket of this.#sockets) socket.write(bytes)
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.hangUp()
    await closed
  }

  #accept(socket: TLSSocket): void {
    this.connections += 1
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined)
    let bytes = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      while (bytes.length >= 8 && bytes.length >= 8 + bytes.readUInt32BE(4)) {
        const end = 8 + bytes.readUInt32BE(4)
        this.#serve(socket, bytes.subarray(0, end))
        bytes = bytes.subarray(end)
      }
    })
  }

  #serve(socket: TLSSocket, message: Buffer): void {
    const root = codec.read(message)
    const version = `${String(at(root, 0x420077, 0x420069, 0x42006a))}.${String(at(root, 0x420077, 0x420069, 0x42006b))}`
    const operation = Number(at(root, 0x42000f, 0x42005c))
    const payload =
      codec.child(struct(0, ...((at(root, 0x42000f) ?? []) as Node[])), 0x420079) ?? struct(0x420079)
    const request = { version, operation, payload, message: Buffer.from(message) }
    this.requests.push(request)
    const isGreeting = operation === OPERATIONS.discover && !this.faultsGreetings
    const fault = isGreeting ? undefined : this.fault?.(request)
    if (fault === 'stall') return
    if (fault === 'reset') {
      socket.destroy()
      return
    }
    const result = typeof fault === 'object' && 'reason' in fault ? fault : this.#handle(request)
    const answer = codec.write(this.#answer(root, version, operation, result))
    if (fault === 'torn') socket.write(answer.subarray(0, answer.length >> 1), () => socket.destroy())
    else if (typeof fault === 'object' && 'bytes' in fault) {
      for (const piece of [fault.bytes(answer, root)].flat()) socket.write(piece)
    } else socket.write(answer)
  }

  #answer(root: Node, version: string, operation: number, result: readonly Node[] | Refuse): Node {
    const id = at(root, 0x42000f, 0x420093)
    const isNo = 'reason' in result
    const spoken = this.#speaks(version) || operation === OPERATIONS.discover ? version : '1.0'
    const [major = 1, minor = 0] = spoken.split('.').map(Number)
    return struct(
      0x42007b,
      struct(
        0x42007a,
        struct(0x420069, int(0x42006a, major), int(0x42006b, minor)),
        codec.date(0x420092, 1_764_000_000),
        int(0x42000d, 1),
      ),
      struct(
        0x42000f,
        enumerated(0x42005c, operation),
        ...(Buffer.isBuffer(id) ? [octets(0x420093, id)] : []),
        enumerated(0x42007f, isNo ? (result.reason < 0 ? 2 : 1) : 0),
        ...(isNo
          ? [enumerated(0x42007e, result.reason >>> 0), str(0x42007d, result.message ?? '')]
          : [struct(0x42007c, ...result)]),
      ),
    )
  }

  get #versions(): readonly string[] {
    return this.habits.versions ?? ['1.4', '1.3', '1.2', '1.1', '1.0']
  }

  #speaks(version: string): boolean {
    return this.#versions.includes(version)
  }

  #handle({ version, operation, payload }: FakeRequest): readonly Node[] | Refuse {
    if (!this.#speaks(version)) return no(0x04, 'version')
    switch (operation) {
      case OPERATIONS.discover:
        return this.habits.hasDiscovery === false ? no(0x05) : this.#discover(payload)
      case OPERATIONS.query:
        return (this.habits.offers ?? Object.values(OPERATIONS)).map((one) => enumerated(0x42005c, one))
      case OPERATIONS.locate:
        return this.#locate(version, payload)
      case OPERATIONS.getAttributes:
        return this.#attributes(version, payload)
      case OPERATIONS.encrypt:
      case OPERATIONS.decrypt:
        return this.#transform(version, operation, payload)
      default:
        return no(0x05)
    }
  }

  #discover(payload: Node): readonly Node[] {
    const asked = codec
      .childrenOf(payload)
      .map((one) => `${String(at(one, 0x42006a))}.${String(at(one, 0x42006b))}`)
    return this.#versions
      .filter((version) => asked.length === 0 || asked.includes(version))
      .map((version) => {
        const [major = 0, minor = 0] = version.split('.').map(Number)
        return struct(0x420069, int(0x42006a, major), int(0x42006b, minor))
      })
  }

  #locate(version: string, payload: Node): readonly Node[] {
    const filters = attributesIn(version, payload)
    const matches = (key: FakeKey): boolean =>
      filters.every(([name, value]) => {
        if (this.habits.ignoresFilters?.includes(name) === true) return true
        if (name === 'Name') return at(value, 0x420055) === key.name
        if (name === 'State') return value[2] === key.state
        return name === 'Object Type' && value[2] === 2
      })
    const limit = Number(at(payload, 0x42004f) ?? 1000)
    return [...this.keys.values()]
      .filter((key) => matches(key) && key.state < 5)
      .slice(0, limit)
      .map(({ uid }) => str(0x420094, uid))
  }

  #attributes(version: string, payload: Node): readonly Node[] | Refuse {
    const key = this.keys.get(String(at(payload, 0x420094)))
    if (key === undefined) return no(0x01, 'Could not locate object')
    if (key.isForbidden === true) return no(0x0c, 'Could not locate object')
    const values: readonly (readonly [string, Node | undefined])[] = [
      ['Object Type', enumerated(0x420057, 2)],
      ['State', enumerated(0x42008d, key.state)],
      ['Cryptographic Algorithm', enumerated(0x420028, key.algorithm)],
      ['Cryptographic Length', int(0x42002a, key.bits)],
      ['Cryptographic Usage Mask', int(0x42002c, key.mask)],
      [
        'Name',
        key.name === undefined
          ? undefined
          : struct(0x420053, str(0x420055, key.name), enumerated(0x420054, 1)),
      ],
      ['Initial Date', key.initialDate === undefined ? undefined : codec.date(0x420039, key.initialDate)],
      [
        'Deactivation Date',
        key.deactivationDate === undefined ? undefined : codec.date(0x42002f, key.deactivationDate),
      ],
    ]
    const wanted = namesIn(version, payload)
    const told = values.flatMap(([name, node]) =>
      node !== undefined && wanted.includes(name) ? [[name, node] as const] : [],
    )
    const uid = str(0x420094, key.uid)
    if (version.startsWith('2.')) return [uid, struct(0x420125, ...told.map(([, node]) => node))]
    return [
      uid,
      ...told.map(([name, [, type, value]]) =>
        struct(0x420008, str(0x42000a, name), [0x42000b, type, value]),
      ),
    ]
  }

  #transform(version: string, operation: number, payload: Node): readonly Node[] | Refuse {
    const key = this.keys.get(String(at(payload, 0x420094)))
    if (key === undefined) return no(0x01)
    const isEncrypt = operation === OPERATIONS.encrypt
    const mayOpen = this.habits.deactivatedOpens === true && key.state === 3 && !isEncrypt
    if (key.isForbidden === true || (key.state !== 2 && !mayOpen)) return no(0x0c)
    if ((key.mask & (isEncrypt ? 4 : 8)) === 0) return no(0x0c)
    const mode = Number(at(payload, 0x42002b, 0x420011))
    if (!(this.habits.modes ?? [9]).includes(mode)) return no(0x07, 'mode')
    const data = at(payload, 0x4200c2) as Buffer
    const uid = str(0x420094, key.uid)
    try {
      if (mode !== 9) return [uid, octets(0x4200c2, wrapped(key.material, mode, data, isEncrypt))]
      return [uid, ...this.#gcm(version, key, payload, data, isEncrypt)]
    } catch {
      return no(this.habits.badTagReason ?? 0x0a, 'CRYPTO')
    }
  }

  #gcm(version: string, key: FakeKey, payload: Node, data: Buffer, isEncrypt: boolean): readonly Node[] {
    const iv = at(payload, 0x42003d) as Buffer
    const hasFields = !['1.2', '1.3'].includes(version)
    const given = hasFields && this.habits.ignoresAad !== true ? at(payload, 0x4200fe) : undefined
    const aad = Buffer.isBuffer(given) ? given : Buffer.alloc(0)
    if (isEncrypt) {
      const cipher = createCipheriv('aes-256-gcm', key.material, iv).setAAD(aad)
      const sealed = Buffer.concat([cipher.update(data), cipher.final()])
      const tag = cipher.getAuthTag()
      const field = this.habits.dropsTag === true ? [] : [octets(0x4200ff, tag)]
      if (hasFields) return [octets(0x4200c2, sealed), ...field]
      return [octets(0x4200c2, this.habits.appendsTag === true ? Buffer.concat([sealed, tag]) : sealed)]
    }
    const body = hasFields ? data : data.subarray(0, -16)
    const tag = hasFields ? (at(payload, 0x4200ff) as Buffer) : data.subarray(-16)
    const decipher = createDecipheriv('aes-256-gcm', key.material, iv, { authTagLength: 16 }).setAAD(aad)
    decipher.setAuthTag(tag)
    const opened = decipher.update(body)
    if (this.habits.ignoresTag !== true) decipher.final()
    return [octets(0x4200c2, opened)]
  }
}

/** RFC 3394 for mode 13, RFC 5649 for mode 12. */
function wrapped(kek: Buffer, mode: number, data: Buffer, isWrap: boolean): Buffer {
  const [name, iv] = mode === 13 ? ['id-aes256-wrap', 'a6a6a6a6a6a6a6a6'] : ['id-aes256-wrap-pad', 'a65959a6']
  const make = isWrap ? createCipheriv : createDecipheriv
  const cipher = make(name, kek, Buffer.from(iv, 'hex'))
  return Buffer.concat([cipher.update(data), cipher.final()])
}

const byTag: Readonly<Record<number, string>> = {
  0x420053: 'Name',
  0x420057: 'Object Type',
  0x42008d: 'State',
  0x420028: 'Cryptographic Algorithm',
  0x42002a: 'Cryptographic Length',
  0x42002c: 'Cryptographic Usage Mask',
  0x420039: 'Initial Date',
  0x42002f: 'Deactivation Date',
}

function attributesIn(version: string, payload: Node): readonly (readonly [string, Node])[] {
  if (version.startsWith('2.')) {
    const attributes = codec.child(payload, 0x420125)
    return (attributes === undefined ? [] : codec.childrenOf(attributes)).map((one) => [
      byTag[one[0]] ?? '',
      one,
    ])
  }
  return codec
    .childrenOf(payload)
    .filter(([tag]) => tag === 0x420008)
    .map((one) => [String(at(one, 0x42000a)), codec.child(one, 0x42000b) ?? struct(0)])
}

function namesIn(version: string, payload: Node): readonly string[] {
  const isNew = version.startsWith('2.')
  return codec
    .childrenOf(payload)
    .filter(([tag]) => tag === (isNew ? 0x42013b : 0x42000a))
    .map(([, , value]) => (isNew ? (byTag[Number(value)] ?? '') : String(value)))
}
