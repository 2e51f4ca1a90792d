/** What of a core file was the memory of the process? The rest is what the kernel notes, such as its registers. */

const PT_NOTE = 4
const ELF = Buffer.from('\x7fELF', 'latin1')

/** The same core file with its notes blanked out (core(5), elf(5)); little-endian and of 64 bits. */
export function withoutNotes(core: Buffer): Buffer {
  if (!core.subarray(0, ELF.length).equals(ELF)) throw new Error('this is no core file')
  const headers = Number(core.readBigUInt64LE(0x20))
  const size = core.readUInt16LE(0x36)
  const blanked = Buffer.from(core)
  for (let at = 0; at < core.readUInt16LE(0x38); at += 1) {
    const header = core.subarray(headers + at * size)
    if (header.readUInt32LE(0) !== PT_NOTE) continue
    const offset = Number(header.readBigUInt64LE(0x08))
    blanked.fill(0, offset, offset + Number(header.readBigUInt64LE(0x20)))
  }
  return blanked
}
