/** What can be configured for a key in the Transit engine of HashiCorp Vault or OpenBao? */
import * as z from 'zod'
import { clientCertificateSettings, secretReference, serviceUrl, tlsSettings } from '../remote/settings.js'

/** Where the kubelet puts the token of a pod's service account. */
const SERVICE_ACCOUNT_TOKEN = 'file:/var/run/secrets/kubernetes.io/serviceaccount/token'

/** A name that is one part of a path; Vault refuses two dots in a row anywhere. */
const PART = /^(?!.*\.\.)(?!\.$)[^\p{Cc}\s/]+$/u
/** Parts with slashes between them, none at either end; visible ASCII, since a namespace stands in a header. */
const PARTS = /^(?!.*\.\.)(?!(.*\/)?\.(\/|$))[\x21-\x2e\x30-\x7e]+(\/[\x21-\x2e\x30-\x7e]+)*$/
/** As Vault itself names keys. */
const KEY_NAME = /^(?!.*\.\.)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/

function part(meaning: string) {
  return z.string().regex(PART, 'must be one name: no slash, no space and no ".."').describe(meaning)
}

function parts(meaning: string) {
  return z
    .string()
    .regex(PARTS, 'must be a path such as team-a/transit: ASCII, no slash at its ends, no space and no ".."')
    .describe(meaning)
}

function shortText(meaning: string) {
  return z.string().min(1, 'must not be empty').max(1024).describe(meaning)
}

/** A token that the kubelet writes, and that everybody in the pod may read. */
function jwt(meaning: string) {
  return secretReference(meaning).describe(
    `${meaning} As \`file:/absolute/path\`, which others may read but not write and which is read anew at each login, or \`env:NAME\`.`,
  )
}

function mount(fallback: string) {
  return parts('Where the auth method is mounted, below `auth/`.').default(fallback)
}

const auth = z.discriminatedUnion(
  'method',
  [
    z.strictObject({
      method: z
        .literal('token')
        .describe('A token that somebody else makes and keeps alive, such as Vault Agent.'),
      token: secretReference('token: the Vault token.'),
    }),
    z.strictObject({
      method: z.literal('approle').describe('AppRole.'),
      roleId: shortText('approle: the role id. It is no secret.'),
      secretId: secretReference(
        'approle: the secret id; absent for a role with `bind_secret_id=false`.',
      ).optional(),
      mount: mount('approle'),
    }),
    z.strictObject({
      method: z
        .literal('kubernetes')
        .describe('The service account of the pod, which Vault has kube-apiserver vouch for.'),
      role: shortText('kubernetes: the role in Vault.'),
      jwt: jwt('kubernetes: the token of the service account.').default(SERVICE_ACCOUNT_TOKEN),
      mount: mount('kubernetes'),
    }),
    z.strictObject({
      method: z.literal('jwt').describe('A JWT whose signature Vault checks itself.'),
      role: shortText('jwt: the role in Vault.'),
      jwt: jwt('jwt: the JWT.'),
      mount: mount('jwt'),
    }),
    z.strictObject({
      method: z.literal('cert').describe('The client certificate, `clientCertFile`.'),
      role: shortText('cert: the role in Vault; absent: whichever fits the certificate.').optional(),
      mount: mount('cert'),
    }),
    z.strictObject({
      method: z.literal('userpass').describe('User name and password.'),
      username: part('userpass: the user name.'),
      password: secretReference('userpass: the password.'),
      mount: mount('userpass'),
    }),
  ],
  {
    error: 'must be one of token, approle, kubernetes, jwt, cert and userpass, with the settings of that one',
  },
)

export const settings = z
  .strictObject({
    backend: z
      .literal('vault')
      .describe('A key in the Transit engine of HashiCorp Vault or OpenBao. It never leaves the server.'),
    url: serviceUrl('The address of Vault or OpenBao, such as https://vault.example.com:8200.'),
    namespace: parts('The namespace of mount and auth method (Vault Enterprise, HCP, OpenBao).').optional(),
    mount: parts('Where the Transit engine is mounted.').default('transit'),
    keyName: z
      .string()
      .regex(KEY_NAME, 'must be the name of a Transit key: A-Z, a-z, 0-9, "_", "-" and ".", and no ".."')
      .describe('The name of the key in the Transit engine.'),
    ...tlsSettings,
    ...clientCertificateSettings,
    associatedData: shortText(
      'Bound to each wrapped DEK; for AES-GCM and ChaCha20 keys. Not secret. What was wrapped with it opens with it alone.',
    ).optional(),
    context: shortText(
      'For a key with `derived=true`: what the real key is derived from. Not secret. What was wrapped with it opens with it alone.',
    ).optional(),
    auth: auth.describe('How the plugin logs in; which settings there are depends on `method`.'),
  })
  .superRefine(({ clientCertFile, clientKeyFile, auth: { method } }, context) => {
    if ((clientCertFile === undefined) !== (clientKeyFile === undefined)) {
      const missing = clientCertFile === undefined ? 'clientCertFile' : 'clientKeyFile'
      const given = clientCertFile === undefined ? 'clientKeyFile' : 'clientCertFile'
      context.addIssue({
        code: 'custom',
        path: [missing],
        message: `is missing; ${given} is of no use alone`,
      })
    } else if (method === 'cert' && clientCertFile === undefined) {
      const message = 'is missing; the auth method cert logs in with it'
      context.addIssue({ code: 'custom', path: ['clientCertFile'], message })
    }
  })

export type VaultSettings = z.infer<typeof settings>
export type VaultAuth = VaultSettings['auth']
