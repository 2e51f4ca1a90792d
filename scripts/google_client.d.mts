/** Where the client is, or will be: a folder with package.json and node_modules. */
export function googleClientPath(): string
/** Why tests by Google's client cannot run here; `undefined`: they can. */
export function googleClientMissing(): string | undefined
