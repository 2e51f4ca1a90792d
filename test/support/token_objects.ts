/** How does a test make, change and destroy objects on a token of any module? */
import { execFileSync } from 'node:child_process'
import type { JsonWebKey } from 'node:crypto'
import { fileURLToPath } from 'node:url'

/** What another process needs to reach a token. */
export interface TokenAccess {
  /** Path of the PKCS#11 module. */
  readonly module: string
  /** What the module wants to be told by C_Initialize, if anything. */
  readonly libraryParameters?: string
  readonly tokenLabel: string
  readonly pin: string
  /** What the module reads from its environment. */
  readonly env: Readonly<Record<string, string>>
}

/** One step of `token_objects.mjs`. */
export type TokenStep =
  | { readonly do: 'login' | 'setPin'; readonly pin?: string }
  | { readonly do: 'destroy'; readonly label: string }
  | { readonly do: 'relabel'; readonly label: string; readonly to: string }
  /** Changes uses of a key that may be modified. */
  | ({ readonly do: 'allow' } & KeyFlags)
  | ({ readonly do: 'makeAes'; readonly bytes?: number } & KeyFlags)
  /** `value` in hexadecimal: how two tokens come to hold one key. */
  | ({ readonly do: 'importAes'; readonly value: string } & KeyFlags)
  | ({ readonly do: 'importSecret'; readonly value: string; readonly keyType?: SecretType } & KeyFlags)
  /** `key` as RFC 7517 writes a private RSA key. */
  | ({ readonly do: 'importRsa'; readonly key: Readonly<JsonWebKey> } & KeyFlags)
  | ({ readonly do: 'makeSecret'; readonly bytes?: number; readonly keyType?: SecretType } & KeyFlags)
  | ({ readonly do: 'makeRsa'; readonly bits?: number } & KeyFlags)
  /** What is no KEK, whatever it is called. */
  | ({ readonly do: 'makeOther'; readonly kind: 'ec' | 'des3' | 'rsa-public' | 'certificate' } & KeyFlags)

/** CKA_KEY_TYPE of a key for HMAC: modules differ in which one they take. */
export type SecretType = 'generic' | 'sha256-hmac'

/**
 * The attributes of a key. Sensitive and not extractable without a word; an AES key encrypts and decrypts, a secret
 * signs and verifies, an RSA pair encrypts and decrypts.
 */
export interface KeyFlags {
  readonly label: string
  readonly emptyId?: boolean
  /** CKA_ID in hexadecimal; random without it. */
  readonly id?: string
  readonly modifiable?: boolean
  readonly sensitive?: boolean
  readonly extractable?: boolean
  readonly encrypt?: boolean
  readonly decrypt?: boolean
  readonly wrap?: boolean
  readonly unwrap?: boolean
  readonly sign?: boolean
  readonly verify?: boolean
  readonly derive?: boolean
}

export interface TokenAnswer {
  /** The module's name and version, as C_GetInfo has them. */
  readonly library: string
  /** What the token said of the user PIN before the first step. */
  readonly pinCountLow: boolean
}

const DEADLINE_MS = 60_000

/** Does these in another process, logged in unless the first step is a login. */
export function changeToken(token: TokenAccess, steps: readonly TokenStep[]): TokenAnswer {
  const { module, libraryParameters, tokenLabel, pin } = token
  const login: TokenStep[] = steps[0]?.do === 'login' ? [] : [{ do: 'login' }]
  const script = fileURLToPath(new URL('./token_objects.mjs', import.meta.url))
  const order = JSON.stringify({ module, libraryParameters, tokenLabel, pin, steps: [...login, ...steps] })
  const answer = execFileSync(process.execPath, [script, order], {
    env: { ...process.env, ...token.env },
    encoding: 'utf8',
    stdio: 'pipe',
    timeout: DEADLINE_MS,
    killSignal: 'SIGKILL',
  })
  // A module may print lines of its own.
  return JSON.parse(answer.slice(answer.lastIndexOf('{'))) as TokenAnswer
}
