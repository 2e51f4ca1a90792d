/** Does a secret show in some output, in whatever form it may have got there? */

export interface Canary {
  /** What it stands for: `PIN`, `plaintext`. */
  readonly name: string
  readonly bytes: Uint8Array
}

/** Shorter canaries turn up by chance. */
const MIN_BYTES = 8

/** Every form that bytes take when somebody prints, encodes or escapes them. */
export function formsOf({ bytes }: Canary): ReadonlyMap<string, Buffer> {
  const raw = Buffer.from(bytes)
  if (raw.length < MIN_BYTES) throw new Error('a canary needs 8 bytes')
  const hex = raw.toString('hex')
  const octets = [...raw]
  const text = raw.toString('latin1')
  const utf16 = Buffer.from(text, 'utf16le')
  const forms: [string, string | Buffer][] = [
    ['raw', raw],
    ['hex', hex],
    ['HEX', hex.toUpperCase()],
    ['hex with spaces', octets.map((octet) => octet.toString(16).padStart(2, '0')).join(' ')],
    ['hex with colons', octets.map((octet) => octet.toString(16).padStart(2, '0')).join(':')],
    ['numbers', octets.join(',')],
    ['numbers with spaces', octets.join(', ')],
    ['UTF-8 of Latin-1', text],
    ['UTF-16LE', utf16],
    ['UTF-16BE', Buffer.from(utf16).swap16()],
    ['JSON', JSON.stringify(text).slice(1, -1)],
    ['URI', encodeURIComponent(text)],
    ...[0, 1, 2].flatMap((offset): [string, string][] => {
      const shifted = base64Middle(raw, offset)
      return [
        [`base64 at ${offset}`, shifted],
        [`base64url at ${offset}`, shifted.replaceAll('+', '-').replaceAll('/', '_')],
      ]
    }),
  ]
  return new Map(forms.map(([form, value]) => [form, Buffer.from(value)]))
}

/** What stays the same of the base64 of something longer in which the bytes stand at this offset modulo 3. */
function base64Middle(raw: Buffer, offset: number): string {
  const before = Buffer.alloc(offset)
  const whole = Buffer.concat([before, raw]).subarray(0, Math.floor((offset + raw.length) / 3) * 3)
  return whole.toString('base64').slice(Math.ceil((offset * 4) / 3))
}

/** One line for each canary that shows in an output, such as `PIN as hex in stderr`. */
export function leaks(
  canaries: readonly Canary[],
  outputs: Readonly<Record<string, string | Uint8Array>>,
): string[] {
  const found: string[] = []
  for (const canary of canaries) {
    for (const [form, needle] of formsOf(canary)) {
      for (const [name, output] of Object.entries(outputs)) {
        if (Buffer.from(output).includes(needle)) found.push(`${canary.name} as ${form} in ${name}`)
      }
    }
  }
  return found
}
