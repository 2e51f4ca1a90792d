/** The words that start each program of bench/go; `undefined` where they cannot be had. */
export function goPrograms(options?: {
  readonly folder?: string
  readonly build?: boolean
  readonly say?: (line: string) => void
}): Promise<{ readonly client: readonly string[]; readonly peer: readonly string[] } | undefined>
