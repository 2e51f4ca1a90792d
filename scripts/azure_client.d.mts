/** Where the packages of the official client are, or will be. */
export function azureClientFolder(): string
/** Why tests with the official client cannot run here; `undefined`: they can. */
export function azureClientMissing(): string | undefined
