/** What can be got out of a plugin and its HSM process, at its most talkative, to look for secrets in it? */
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { KmsClient, refusal } from './kms_client.js'
import type { Process } from './plugin.js'
import { framed, RawClient, v2Message } from './raw_grpc.js'

export const plaintext = Buffer.from('CANARY-PLAINTEXT-of-32-bytes!!!!')

/** Variables that make libraries talk. */
export const talkative = {
  DEBUG: '*',
  GOOGLE_SDK_NODE_LOGGING: 'all',
  GRPC_TRACE: 'all',
  GRPC_VERBOSITY: 'DEBUG',
  GRPC_NODE_TRACE: 'all',
  GRPC_NODE_VERBOSITY: 'DEBUG',
  GRPC_NODE_DEBUG_SEND_ERROR_DETAILS: 'true',
}

export type Outputs = Record<string, string | Uint8Array>

/** Everything that a caller can provoke; the texts of the errors. */
export async function converse(socket: string): Promise<{ errors: string; ciphertext: Buffer }> {
  const client = new KmsClient(socket)
  const raw = new RawClient(socket)
  try {
    const sealed = await client.v2Encrypt(plaintext)
    expect(await client.v2Decrypt(sealed)).toEqual(plaintext)
    expect(await client.v1Decrypt(await client.v1Encrypt(plaintext))).toEqual(plaintext)
    const broken = Buffer.from(sealed.ciphertext)
    broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 1, broken.length - 1)
    const request = v2Message('Encrypt', { plaintext, uid: 'uid' })
    const endings = await Promise.all([
      raw.call('/v2.KeyManagementService/Encrypt', framed(request.subarray(0, -7))),
      raw.call('/v2.KeyManagementService/Encrypt', framed(Buffer.concat([request, Buffer.of(0x0f)]))),
      raw.call('/v2.KeyManagementService/Encrypt', framed(request, { compressed: true }), {
        'grpc-encoding': 'gzip',
      }),
      raw.call('/v2.KeyManagementService/None', framed(request)),
    ])
    const refused = [
      await refusal(client.v2Encrypt(Buffer.concat(Array.from({ length: 40 }, () => plaintext)))),
      await refusal(client.v2Encrypt(Buffer.concat(Array.from({ length: 5000 }, () => plaintext)))),
      await refusal(client.v2Decrypt({ ...sealed, ciphertext: broken })),
      await refusal(client.v2Decrypt({ ...sealed, ciphertext: plaintext })),
      await refusal(client.v2Decrypt({ ...sealed, keyId: plaintext.toString() })),
      await refusal(client.v1Decrypt(plaintext)),
      await refusal(client.v1Encrypt(plaintext, plaintext.toString())),
    ]
    const errors = [...refused, ...endings.map(({ grpcMessage }) => grpcMessage)].join('\n')
    return { errors, ciphertext: sealed.ciphertext }
  } finally {
    client.close()
    raw.close()
  }
}

export async function pagesOf(port: number): Promise<Outputs> {
  const pages: Outputs = {}
  for (const path of ['/livez', '/readyz', '/healthz', '/metrics', '/none'])
    pages[path] = await (await fetch(`http://127.0.0.1:${port}${path}`)).text()
  return pages
}

/** What any process of the same user can read about ours. */
export function procOf(name: string, pid: number): Outputs {
  return Object.fromEntries(
    ['cmdline', 'environ', 'status', 'comm'].map((file) => [
      `${name} ${file}`,
      readFileSync(`/proc/${pid}/${file}`),
    ]),
  )
}

export const outputOf = (name: string, { stdout, stderr }: { stdout: string; stderr: string }): Outputs => ({
  [`${name} stdout`]: stdout,
  [`${name} stderr`]: stderr,
})

export const ofProcess = (plugin: Process) => ({ stdout: plugin.stdout(), stderr: plugin.stderr() })

export const talk = { log: { level: 'trace', allValues: true }, server: { kmsV1: true } }
