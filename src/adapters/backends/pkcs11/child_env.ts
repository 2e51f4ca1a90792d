/**
 * Which environment variables does the HSM process get?
 *
 * Rule: by name only. NODE_OPTIONS, LD_PRELOAD, cloud tokens and proxies stay outside the process that holds the
 * PIN.
 */

/** Passed on by name. */
export const passedNames: readonly string[] = [
  'PATH',
  'LANG',
  'TZ',
  // Where a user's own configuration lies when no variable below names it: SoftHSM, p11-kit, tpm2-pkcs11.
  'HOME',
  'SOFTHSM2_CONF',
  // SafeNet Luna.
  'ChrystokiConfigurationPath',
  'P11_KIT_SERVER_ADDRESS',
  'YUBIHSM_PKCS11_CONF',
  // Utimaco.
  'CS_PKCS11_R3_CFG',
  // How tpm2-pkcs11 finds its TPM's resource manager.
  'DBUS_SESSION_BUS_ADDRESS',
]

/** Passed on by how they begin: NSS; Entrust nShield; tpm2-pkcs11. */
export const passedPrefixes: readonly string[] = ['NSS_', 'CKNFAST_', 'TPM2_PKCS11_']

/** The part of `env` that a PKCS#11 module may see. */
export function childEnv(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const allowed: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue
    if (passedNames.includes(name) || passedPrefixes.some((prefix) => name.startsWith(prefix)))
      allowed[name] = value
  }
  return allowed
}
