/** How does text reach a terminal: one line stays one line, and columns stand under each other. */

/** C0, DEL and C1 controls, line separators, and what turns the direction of text round. */
const UNSAFE = /[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu

/** The text without anything that could break the line or steer a terminal. */
export function oneLine(text: string): string {
  return text.replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
}

/** Rows of cells as lines; all columns but the last are padded to their longest cell. */
export function columns(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map(oneLine))
  const widths = (cells[0] ?? []).map((_, index) => Math.max(...cells.map((row) => row[index]?.length ?? 0)))
  return cells
    .map((row) =>
      row
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('')
}

/** The flag of every command that can print {@link json}. */
export const jsonFlag = ['json', 'one JSON document on stdout'] as const

export function json(document: unknown): string {
  return `${JSON.stringify(document, undefined, 2)}\n`
}
