/** Replaces dist/. Fails when the sources do not parse, a package has no licence, or the warm-up does not succeed. */
export function build(): Promise<void>
