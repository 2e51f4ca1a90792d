/** JSON Web Tokens (RFC 7519) as a cluster or an identity provider would sign them; ES256. */
import { createSign, generateKeyPairSync, randomUUID } from 'node:crypto'

export interface Signer {
  /** PEM, for whoever checks what we sign. */
  readonly publicKey: string
  /** Good for an hour, but for what is said here. */
  readonly sign: (claims?: Readonly<Record<string, unknown>>) => string
}

export function makeSigner(): Signer {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    sign: (claims = {}) => {
      const now = Math.floor(Date.now() / 1000)
      const dates = { iat: now - 5, nbf: now - 5, exp: now + 3600 }
      const head = encoded({ alg: 'ES256', typ: 'JWT' })
      const body = encoded({ jti: randomUUID(), ...dates, ...claims })
      const signature = createSign('SHA256')
        .update(`${head}.${body}`)
        .sign({ key: privateKey, dsaEncoding: 'ieee-p1363' })
      return `${head}.${body}.${signature.toString('base64url')}`
    },
  }
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
