/** How does a process of a test's own run a part of the sources, which Node.js does not run as they are? */
import { buildSync } from 'esbuild'
import { basename, join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

/**
 * Bundles one module with all that it imports.
 *
 * @param module Its path from the root of the project.
 * @param folder Where to put it.
 * @returns The path of what can be run, or imported by its names.
 */
export function compiled(module: string, folder: string): string {
  const outfile = join(folder, basename(module).replace(/\.\w+$/, '.cjs'))
  buildSync({
    absWorkingDir: root,
    entryPoints: [module],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    define: { 'import.meta.filename': '__filename', 'import.meta.dirname': '__dirname' },
    logLevel: 'error',
  })
  return outfile
}
