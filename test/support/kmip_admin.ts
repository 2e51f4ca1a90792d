/** What an administrator does on a KMIP server: makes keys and moves them through their states. */
import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import type { Certificate } from './certificates.js'
import { at, enumerated, int, octets, read, str, struct, write, type Node } from './fakes/kmip_codec.js'

export interface Admin {
  readonly port: number
  readonly ca: string
  readonly client: Certificate
}

/** What a test wants of a key; AES-256 that may encrypt and decrypt, Active and without a name, unless it says so. */
export interface KeyWish {
  readonly name?: string
  readonly bits?: number
  readonly mask?: number
  readonly material?: Buffer
  readonly isActive?: boolean
}

const ENCRYPT_AND_DECRYPT = 0x0c
const [CREATE, REGISTER, ACTIVATE, REVOKE, DESTROY] = [1, 3, 18, 19, 20] as const

export class KmipAdmin {
  readonly #admin: Admin

  constructor(admin: Admin) {
    this.#admin = admin
  }

  /** @returns The unique identifier. */
  async makeKey(wish: KeyWish = {}): Promise<string> {
    const { name, bits = 256, mask = ENCRYPT_AND_DECRYPT, material, isActive = true } = wish
    const attributes = struct(
      0x420091,
      attribute('Cryptographic Algorithm', enumerated(0x42000b, 3)),
      attribute('Cryptographic Length', int(0x42000b, bits)),
      attribute('Cryptographic Usage Mask', int(0x42000b, mask)),
      ...(name === undefined
        ? []
        : [attribute('Name', struct(0x42000b, str(0x420055, name), enumerated(0x420054, 1)))]),
    )
    const type = enumerated(0x420057, 2)
    const answer =
      material === undefined
        ? await this.#ask(CREATE, type, attributes)
        : await this.#ask(REGISTER, type, attributes, keyBlock(material, bits))
    const uid = String(at(answer, 0x420094))
    if (isActive) await this.activate(uid)
    return uid
  }

  async activate(uid: string): Promise<void> {
    await this.#ask(ACTIVATE, str(0x420094, uid))
  }

  /** Deactivates, or marks as compromised. */
  async revoke(uid: string, isCompromised = false): Promise<void> {
    const reason = struct(0x420081, enumerated(0x420082, isCompromised ? 2 : 1))
    await this.#ask(REVOKE, str(0x420094, uid), reason)
  }

  async destroy(uid: string): Promise<void> {
    await this.#ask(DESTROY, str(0x420094, uid))
  }

  /** @returns The payload of the answer. @throws {Error} With the server's words. */
  async #ask(operation: number, ...payload: readonly Node[]): Promise<Node> {
    const request = struct(
      0x420078,
      struct(0x420077, struct(0x420069, int(0x42006a, 1), int(0x42006b, 2)), int(0x42000d, 1)),
      struct(0x42000f, enumerated(0x42005c, operation), struct(0x420079, ...payload)),
    )
    const answer = await this.#exchange(write(request))
    const status = at(answer, 0x42000f, 0x42007f)
    if (status !== 0) {
      throw new Error(`operation ${operation}: ${String(at(answer, 0x42000f, 0x42007d))}`)
    }
    return struct(0x42007c, ...((at(answer, 0x42000f, 0x42007c) ?? []) as readonly Node[]))
  }

  async #exchange(request: Buffer): Promise<Node> {
    const { port, ca, client } = this.#admin
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, ca, ...client })
    try {
      await once(socket, 'secureConnect')
      socket.write(request)
      let bytes = Buffer.alloc(0)
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        bytes = Buffer.concat([bytes, chunk])
        if (bytes.length >= 8 && bytes.length >= 8 + bytes.readUInt32BE(4)) return read(bytes)
      }
      throw new Error('the server hung up')
    } finally {
      socket.destroy()
    }
  }
}

function attribute(name: string, value: Node): Node {
  return struct(0x420008, str(0x42000a, name), value)
}

function keyBlock(material: Buffer, bits: number): Node {
  return struct(
    0x42008f,
    struct(
      0x420040,
      enumerated(0x420042, 1),
      struct(0x420045, octets(0x420043, material)),
      enumerated(0x420028, 3),
      int(0x42002a, bits),
    ),
  )
}
