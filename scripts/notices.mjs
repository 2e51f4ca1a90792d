// The licences of the packages in a bundle: they ask that their texts go wherever the code goes.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * One section for each package that these files are of.
 *
 * @param inputs Paths below `root`, as esbuild's metafile names them.
 * @throws {Error} for a package that says nothing of its licence.
 */
export function noticesOf(inputs, root) {
  const folders = inputs.flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? [])
  const sections = [...new Set(folders)].sort().map((folder) => noticeOf(join(root, folder)))
  return `Parts of kmsplugin are these packages, under their own licences.\n\n${sections.join('\n')}`
}

function noticeOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  const names = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
  if (license === undefined && names.length === 0) throw new Error(`${name} has no licence`)
  const texts = names.sort().map((file) => readFileSync(join(folder, file), 'utf8').trim())
  return [`${'='.repeat(80)}`, `${name} ${version} (${license})`, '', ...texts, ''].join('\n')
}
