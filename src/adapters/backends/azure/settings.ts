/** What can be configured of a KEK in Azure Key Vault or a Managed HSM. */
import * as z from 'zod'
import { filePath, secretReference, serviceUrl, tlsSettings } from '../remote/settings.js'

/** `https://host[:port]` and nothing behind it. */
function hostUrl(meaning: string, example: string) {
  return serviceUrl(meaning)
    .refine((value) => !URL.canParse(value) || new URL(value).pathname === '/', {
      message: `must end with its host or port: no path, as in ${example}`,
    })
    .describe(meaning)
}

const tenantId = z
  .string()
  .regex(/^[0-9A-Za-z][0-9A-Za-z.-]{0,252}$/, 'must be the id or a domain of a tenant')
  .describe('The Microsoft Entra tenant that the vault belongs to: its id, or one of its domains.')

function clientId(meaning: string) {
  const form = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
  return z
    .string()
    .regex(form, 'must be a client id such as 00000000-0000-0000-0000-000000000000')
    .describe(meaning)
}

const appId = clientId('The application (client) id of the app registration.')

const workloadIdentity = z.strictObject({
  method: z
    .literal('workloadIdentity')
    .describe('Microsoft Entra Workload ID: a service account token that Entra takes for our identity.'),
  tenantId: tenantId
    .optional()
    .describe('The tenant: its id, or one of its domains. Absent: the environment variable AZURE_TENANT_ID.'),
  clientId: clientId(
    'The client id of the app registration or user-assigned identity. Absent: the environment variable AZURE_CLIENT_ID.',
  ).optional(),
  tokenFile: filePath(
    'The file with the service account token, read anew at each login. Absent: the environment variable AZURE_FEDERATED_TOKEN_FILE.',
  ).optional(),
})

const managedIdentity = z.strictObject({
  method: z
    .literal('managedIdentity')
    .describe('The identity that Azure gives to this virtual machine (IMDS).'),
  clientId: clientId(
    'The client id of a user-assigned identity. Absent: the only one that the machine has.',
  ).optional(),
})

const clientSecret = z.strictObject({
  method: z.literal('clientSecret').describe('An app registration with a secret.'),
  tenantId,
  clientId: appId,
  clientSecret: secretReference('The client secret.'),
})

const clientCertificate = z.strictObject({
  method: z.literal('clientCertificate').describe('An app registration with a certificate.'),
  tenantId,
  clientId: appId,
  certificateFile: filePath(
    'PEM file with the RSA certificate that the app registration knows. Read anew at each login, together with the key.',
  ),
  privateKeyFile: filePath('PEM file with the private key of `certificateFile`, mode 0600 or 0400.'),
})

export const settings = z.strictObject({
  backend: z.literal('azure').describe('A key in Azure Key Vault or in an Azure Managed HSM.'),
  vaultUrl: hostUrl(
    'The address of the vault: `https://NAME.vault.azure.net`, `https://NAME.managedhsm.azure.net`, or that of a sovereign cloud. Its host is part of the key id.',
    'https://my-vault.vault.azure.net',
  ),
  keyName: z
    .string()
    .regex(/^[0-9A-Za-z-]{1,127}$/, 'must be the name of a key: 1 to 127 of 0-9, a-z, A-Z and "-"')
    .describe(
      'The name of the key: RSA of 2048 to 4096 bits (wraps with RSA-OAEP-256), or oct-HSM of 256 bits in a Managed HSM (A256KW). It is never created.',
    ),
  keyVersion: z
    .string()
    .regex(/^[0-9a-fA-F]{32}$/, 'must be a version of the key: 32 hexadecimal digits')
    .optional()
    .describe(
      'The version that wraps. Absent: the latest, so that a rotation in Azure is followed. Older versions open what they wrapped in either case.',
    ),
  auth: z
    .discriminatedUnion('method', [workloadIdentity, managedIdentity, clientSecret, clientCertificate])
    .describe('How to log in to Microsoft Entra.'),
  authorityHost: hostUrl(
    'Where to log in. Absent: the environment variable AZURE_AUTHORITY_HOST, else that of the cloud of `vaultUrl`.',
    'https://login.microsoftonline.com',
  ).optional(),
  ...tlsSettings,
})

export type AzureSettings = z.infer<typeof settings>
export type AzureAuth = AzureSettings['auth']
