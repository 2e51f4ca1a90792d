/**
 * How is a value of the KMS plug-in of IBM Cloud Private opened? A DEK of the plug-in, wrapped by the root key, encrypts many
 * values by AES-256-CBC, which nothing authenticates.
 */
import * as z from 'zod'
import { KmsError } from '../../ports/errors.js'
import type { Format } from './format.js'
import { looksLikeIbmSecret, readIbmSecret, type IbmSecret } from './ibm_secret.js'
import { decryptCbc, KUBE_DEK_BYTES, kubeDekIn } from './kube_dek_cbc.js'
import { explainedBy, readOrRefuse } from './reading.js'

const options = () =>
  z.strictObject({
    version: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .default(1)
      .describe(
        'KP_CONFIG.VERSION of the root key there: values of other versions belong to other entries under `keys`.',
      ),
    lengthBytes: z.int().min(1).max(8).default(4).describe('SERVER_CONFIG.NUM_LEN_BYTES there.'),
  })

const NAME = 'ibm-kmsplugin'

type IbmOptions = z.infer<ReturnType<typeof options>>

export const ibmKmsplugin: Format<IbmOptions> = {
  name: NAME,
  writtenBy: 'the KMS plug-in of IBM Cloud Private and Cloud Pak for MCM',
  backends: ['ibm'],
  authenticated: 'none',
  options,
  recognize: ({ ciphertext }) => (looksLikeIbmSecret(ciphertext) ? 'bytes' : undefined),
  explain: ({ ciphertext }) =>
    explainedBy(() => {
      const { version, wrappedDek, iv, blocks } = readIbmSecret(ciphertext)
      return {
        KpVersion: version.toString(),
        'WrappedDEK characters': wrappedDek.length,
        'Cipher IV': Buffer.from(iv).toString('hex'),
        'Cipher bytes': blocks.length,
        algorithm: 'AES-256-CBC, not authenticated',
      }
    }),
  plan(value, { version, lengthBytes }, { allowUnauthenticated }) {
    const secret = readOrRefuse(NAME, () => readIbmSecret(value.ciphertext))
    if (secret.version !== BigInt(version)) {
      const text = `the value of ibm-kmsplugin has KpVersion ${secret.version}, and this key opens ${version}; name the root key of that version under keys, with version: ${secret.version} in its decode`
      throw new KmsError('ERR_KEY_UNKNOWN', text)
    }
    if (!allowUnauthenticated) {
      const text = 'nothing protects values of ibm-kmsplugin against alteration; allowUnauthenticated is off'
      throw new KmsError('ERR_VALUE_UNAUTHENTICATED', text)
    }
    return {
      questions: [{ bytes: secret.wrappedDek }],
      finish: ([dek]) => opened(secret, dek, lengthBytes),
      isReusable: true,
    }
  },
}

function opened({ iv, blocks }: IbmSecret, dek: Uint8Array | undefined, lengthBytes: number): Uint8Array {
  if (dek?.length !== KUBE_DEK_BYTES) throw damaged(`its DEK has ${dek?.length ?? 0} bytes`)
  const decrypted = decryptCbc(dek, iv, blocks)
  try {
    const found = kubeDekIn(decrypted, lengthBytes)
    if (found === undefined) throw damaged('it holds no DEK of kube-apiserver')
    return found
  } finally {
    decrypted.fill(0)
  }
}

function damaged(why: string): KmsError {
  return new KmsError(
    'ERR_DECRYPTION_FAILED',
    `the value of ibm-kmsplugin was altered, or belongs to another root key: ${why}`,
  )
}
