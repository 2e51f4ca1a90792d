/** Messages in a file, each behind its length in 4 bytes, big-endian. */
export function joinMessages(messages: readonly Buffer[]): Buffer
/** @throws When the last message is not whole. */
export function splitMessages(bytes: Buffer): Buffer[]
