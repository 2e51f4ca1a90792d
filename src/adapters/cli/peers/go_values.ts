/** How does Go read switches, numbers, durations and comma-separated values? */

/** As `strconv.ParseBool`. */
export function goBool(text: string): boolean {
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(text)) return true
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(text)) return false
  throw new Error('must be true or false')
}

const LARGEST = 2 ** 31 - 1

/** As `strconv.ParseInt` with base 0, for what fits in 32 bits. */
export function goInteger(text: string): number {
  const [, sign = '', digits = ''] = /^([+-]?)([0-9](?:_?[0-9a-zA-Z])*)$/.exec(text) ?? []
  const plain = digits.replaceAll('_', '')
  const octal = /^0[0-9]+$/.test(plain)
  const value = digits === '' ? NaN : Number(octal ? `0o${plain}` : plain)
  if (!Number.isInteger(value) || value > LARGEST || /[eE]/.test(plain) !== /^0[xX].*[eE]/.test(plain)) {
    throw new Error('must be a whole number')
  }
  return sign === '-' ? -value : value
}

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** As `time.ParseDuration`, such as `1m30s` or `1.5h`, in milliseconds and never less than none. */
export function goDurationMs(text: string): number {
  if (/^\+?0$/.test(text)) return 0
  if (
    !/^\+?([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*$/.test(
      text,
    )
  ) {
    throw new Error('must be a duration of Go, such as 10s or 1m30s')
  }
  const parts = text.matchAll(/([0-9.]+)(ns|us|µs|μs|ms|s|m|h)/g)
  const ms = [...parts].reduce(
    (sum, [, amount, unit = '']) => sum + Number(amount) * (UNITS_MS[unit] ?? 0),
    0,
  )
  return Math.round(ms)
}

/**
 * The first record as `encoding/csv` reads it: quotes round a value that has a comma, two quotes for one. What stands
 * in a block of YAML ends with a line break.
 *
 * @returns Nothing at all for an empty text, as pflag does.
 */
export function csvRecord(text: string): readonly string[] {
  if (text === '') return []
  const fields: string[] = []
  let rest = text.replace(/^(\r?\n)+/, '')
  for (;;) {
    const [whole, quoted, bare] = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(?=,|\r?\n|$)/.exec(rest) ?? []
    if (whole === undefined)
      throw new Error('must be values with commas between them; a " stands only round a whole value')
    fields.push(quoted === undefined ? (bare ?? '') : quoted.replaceAll('""', '"'))
    if (rest[whole.length] !== ',') return fields
    rest = rest.slice(whole.length + 1)
  }
}
