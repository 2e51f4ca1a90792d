/** Why does the loader refuse a library? Its own words mislead: of one for another machine it says that there is no file. */
import { closeSync, openSync, readSync } from 'node:fs'
import { arch, platform } from 'node:os'

/** EI_CLASS to e_machine (ELF-64 object file format, version 1.5, figure 2). */
const HEADER_BYTES = 20
const MACHINE_AT = 18
const BIG_ENDIAN_AT = 5

/** e_machine of the System V ABI, by the names that Node gives to machines. */
const machines: readonly (readonly [number: number, arch: string, name: string])[] = [
  [62, 'x64', 'x86-64'],
  [183, 'arm64', 'aarch64'],
  [40, 'arm', '32-bit ARM'],
  [3, 'ia32', '32-bit x86'],
  [21, 'ppc64', 'POWER'],
  [22, 's390x', 's390x'],
  [243, 'riscv64', 'RISC-V'],
]

/**
 * What is wrong with a library that could not be loaded, to stand behind its path.
 *
 * @param loaderText What the loader said, in one line.
 */
export function whyNotLoaded(path: string, loaderText: string): string {
  const text = loaderText.replace(`${path}: `, '')
  const header = platform() === 'linux' ? headerOf(path) : undefined
  if (header !== undefined) {
    if (!header.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1')) || header.length < HEADER_BYTES) {
      return 'is no PKCS#11 module: it is no ELF library; name the one that the vendor installed'
    }
    const number =
      header[BIG_ENDIAN_AT] === 2 ? header.readUInt16BE(MACHINE_AT) : header.readUInt16LE(MACHINE_AT)
    const here = machines.find(([, name]) => name === arch())
    if (here !== undefined && here[0] !== number) {
      const there = machines.find(([each]) => each === number)?.[2] ?? `machine ${number}`
      return `is no PKCS#11 module for this machine: it is built for ${there}; install the one for ${here[2]}`
    }
  }
  if (text.includes('C_GetFunctionList')) {
    return "is no PKCS#11 module: it has no C_GetFunctionList; name the vendor's PKCS#11 library"
  }
  return `cannot be loaded: ${text}; run ldd on it to see what it lacks`
}

/** `undefined` when it cannot be read. */
function headerOf(path: string): Buffer | undefined {
  try {
    const file = openSync(path, 'r')
    try {
      const header = Buffer.alloc(HEADER_BYTES)
      return header.subarray(0, readSync(file, header, 0, HEADER_BYTES, 0))
    } finally {
      closeSync(file)
    }
  } catch {
    return undefined
  }
}
