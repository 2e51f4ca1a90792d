/** Why the fault module cannot be compiled here; `undefined` when it can. */
export function compilerMissing(): string | undefined
/** The folder above pkcs11/pkcs11.h. */
export function headers(): string
/** The path of the compiled source; compiled by the first who needs it. */
export function compiled(): string
