/** Where the program `bao` is, or will be. */
export function openBaoPath(): string
/** Why tests on OpenBao cannot run here; `undefined`: they can. */
export function openBaoMissing(): string | undefined
