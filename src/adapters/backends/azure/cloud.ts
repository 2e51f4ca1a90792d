/** To which cloud does a vault belong: whose tokens does it take, and where does one log in? */
import { KmsError } from '../../../ports/errors.js'
import type { BackendDeps } from '../backend.js'
import { isLoopback } from '../remote/settings.js'
import { settings, type AzureSettings } from './settings.js'

interface Cloud {
  /** Vaults have names below these, and tokens are for these. */
  readonly domains: readonly string[]
  readonly authority: string
}

const PUBLIC: Cloud = {
  domains: ['vault.azure.net', 'managedhsm.azure.net'],
  authority: 'https://login.microsoftonline.com',
}

const clouds: readonly Cloud[] = [
  PUBLIC,
  { domains: ['vault.azure.cn', 'managedhsm.azure.cn'], authority: 'https://login.chinacloudapi.cn' },
  {
    domains: ['vault.usgovcloudapi.net', 'managedhsm.usgovcloudapi.net'],
    authority: 'https://login.microsoftonline.us',
  },
]

/** The host of the vault as it stands in key ids: in lower case, without its port. */
export function vaultHost({ vaultUrl }: AzureSettings): string {
  return new URL(vaultUrl).hostname
}

/** Managed HSMs have roles and commands of their own. */
export function isManagedHsm(settings: AzureSettings): boolean {
  return /\.managedhsm\./.test(vaultHost(settings))
}

/**
 * Whether a vault may ask for tokens of this resource: it must be of the domain that the vault's own name is below, else
 * whoever answers in the vault's place could collect tokens for other services. An emulator on the loopback address has
 * no such name, and may ask for tokens for vaults.
 *
 * @param host Of the resource.
 */
export function mayAskFor(vaultHost: string, host: string): boolean {
  if (isLoopback(vaultHost)) return isLoopback(host) || clouds.some(({ domains }) => domains.includes(host))
  return host.includes('.') && vaultHost.endsWith(`.${host}`)
}

/**
 * Where to log in: as configured, as the environment says (Azure Workload Identity sets it), or as the cloud has it.
 *
 * @throws {KmsError} `ERR_CONFIG_INVALID`: AZURE_AUTHORITY_HOST is no such address.
 */
export function authorityOf(section: AzureSettings, env: BackendDeps['env']): URL {
  const host = vaultHost(section)
  const cloud = clouds.find(({ domains }) => domains.some((domain) => host.endsWith(`.${domain}`))) ?? PUBLIC
  const named = section.authorityHost ?? env['AZURE_AUTHORITY_HOST']
  if (named === undefined || named === '') return new URL(cloud.authority)
  const result = settings.shape.authorityHost.safeParse(named)
  if (result.success) return new URL(named)
  const why = result.error.issues[0]?.message ?? 'is no address'
  throw new KmsError('ERR_CONFIG_INVALID', `the environment variable AZURE_AUTHORITY_HOST ${why}`)
}
