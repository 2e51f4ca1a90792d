/**
 * How is a value of OVHcloud's okms-k8s-encryption-provider opened that it made by REST? It is the JWE that the service
 * answered, and the service alone opens it.
 */
import * as z from 'zod'
import type { StoredValue } from '../../ports/foreign.js'
import type { Format } from './format.js'
import { explainedBy, NotOfFormat, readOrRefuse } from './reading.js'

/** What the service takes at most. */
const JWE_MAX_CHARACTERS = 5464
/** RFC 7516 section 3.1; with `dir`, the encrypted key is empty. */
const COMPACT_JWE = /^[\w-]+\.[\w-]*(\.[\w-]+){3}$/
/** `{"` in base64url. */
const JSON_BEGINS = 'eyJ'

interface OkmsRestValue {
  /** In small letters, with hyphens. */
  readonly keyId: string
  readonly jwe: Uint8Array
  readonly header: { readonly alg: string; readonly enc: string }
}

const NAME = 'okms-rest'

const options = () => z.strictObject({})

export const okmsRest: Format<z.infer<ReturnType<typeof options>>> = {
  name: NAME,
  writtenBy: 'okms-k8s-encryption-provider of OVHcloud with --protocol rest',
  backends: ['okms'],
  authenticated: 'all',
  options,
  /** Other plugins keep a JWE as well: under a key id that is no UUID, or with annotations. */
  recognize: ({ ciphertext, keyId, annotations }) => {
    const begins = asciiOf(ciphertext.subarray(0, JSON_BEGINS.length))
    const isOurs = begins === JSON_BEGINS && Object.keys(annotations).length === 0
    return isOurs && uuidIn(keyId) !== undefined ? 'keyId' : undefined
  },
  explain: (value) =>
    explainedBy(() => {
      const { keyId, header } = read(value)
      return { key: keyId, algorithm: `${header.alg}, ${header.enc}` }
    }),
  /** That plugin decrypts with whichever key the request names, so a new key id there left the old values readable. */
  plan: (value) => {
    const { keyId: keyName, jwe: bytes } = readOrRefuse(NAME, () => read(value))
    return { questions: [{ bytes, keyName }], finish: ([plaintext]) => Uint8Array.from(plaintext ?? []) }
  },
}

function read({ ciphertext, keyId, annotations }: StoredValue): OkmsRestValue {
  if (Object.keys(annotations).length > 0)
    throw new NotOfFormat('has annotations, and that plugin writes none')
  const uuid = uuidIn(keyId)
  if (uuid === undefined) throw new NotOfFormat('names its key by no UUID')
  if (ciphertext.length > JWE_MAX_CHARACTERS)
    throw new NotOfFormat(`has ${ciphertext.length} bytes, more than a JWE of the service`)
  const text = asciiOf(ciphertext)
  const header = COMPACT_JWE.test(text) ? headerIn(text) : undefined
  if (header === undefined) throw new NotOfFormat('is no compact JWE')
  return { keyId: uuid, jwe: ciphertext, header }
}

const UUID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const KEY_ID = new RegExp(`^(?:(?:urn:uuid:)?(${UUID})|\\{(${UUID})\\}|([0-9a-f]{32}))$`, 'i')

/** That plugin takes a UUID as Go's `uuid.Parse` does, and its key ids are what stood on its command line. */
function uuidIn(keyId: string | undefined): string | undefined {
  const [, plain, inBraces, bare] = KEY_ID.exec(keyId ?? '') ?? []
  const digits = (plain ?? inBraces ?? bare)?.replaceAll('-', '').toLowerCase()
  return digits?.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function headerIn(jwe: string): OkmsRestValue['header'] | undefined {
  try {
    const header: unknown = JSON.parse(Buffer.from(jwe.split('.')[0] ?? '', 'base64url').toString('utf8'))
    const { alg, enc } = z.object({ alg: z.string(), enc: z.string() }).parse(header)
    return { alg, enc }
  } catch {
    return undefined
  }
}

function asciiOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
