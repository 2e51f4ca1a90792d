// npm run build: dist/ from src/. Types have a check of their own, npm run types.
//
// dist/main.js        the program: runs the bundle, from its code cache
// dist/kmsplugin.js   the bundle of src/main.ts and of every package but the optional ones
// dist/kmsplugin.cache what V8 made of the bundle; made by dist/warm_up.js
// dist/child/         the HSM process and its threads, which hold nothing of the bundle
import { spawnSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build as bundle } from 'esbuild'
import { noticesOf } from './notices.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DIST = join(ROOT, 'dist')

/** Loaded when a key or a terminal needs them; all but the last may be absent. */
const EXTERNAL = ['@aws-sdk/*', 'google-auth-library', 'pkcs11js', 'pino-pretty']

const SHARED = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.19',
  // grpc-js asks for proto-loader in channelz alone, which is off.
  external: [...EXTERNAL, '@grpc/proto-loader'],
  // A script has no import(); what is external and loaded on demand is a CommonJS package everywhere.
  supported: { 'dynamic-import': false },
  define: { 'import.meta.filename': '__filename', 'import.meta.dirname': '__dirname' },
  // What else a module asks of itself has no value here.
  logOverride: { 'empty-import-meta': 'error' },
  minifySyntax: true,
  minifyWhitespace: true,
  // Node.js quotes the line of an error that nobody catches.
  lineLimit: 120,
  // Their texts stand in dist/THIRD_PARTY_NOTICES.txt, in full.
  legalComments: 'none',
  sourcemap: 'linked',
  sourcesContent: false,
  metafile: true,
  logLevel: 'error',
}

/** Replaces dist/. Fails when the sources do not parse, a package has no licence, or the warm-up does not succeed. */
export async function build() {
  rmSync(DIST, { recursive: true, force: true })
  const built = await Promise.all([
    bundle({
      ...SHARED,
      entryPoints: { kmsplugin: 'src/main.ts' },
      outdir: 'dist',
      // Each name is read and made at each start; a stack is read with the source map beside it.
      minifyIdentifiers: true,
      // One expression: the function that Node.js makes of a CommonJS module. src/start/bundle.ts calls it.
      banner: { js: '(function (exports, require, module, __filename, __dirname) {' },
      footer: { js: '})' },
    }),
    bundle({
      ...SHARED,
      entryPoints: { main: 'src/start/launch.ts', warm_up: 'src/start/warm_up.ts' },
      outdir: 'dist',
    }),
    bundle({
      ...SHARED,
      entryPoints: ['main', 'worker'].map((name) => `src/adapters/backends/pkcs11/child/${name}.ts`),
      outdir: 'dist/child',
    }),
  ])
  // The package is one of ES modules, for the sources.
  writeFileSync(join(DIST, 'package.json'), '{ "type": "commonjs" }\n')
  const inputs = built.flatMap(({ metafile }) => Object.keys(metafile.inputs))
  writeFileSync(join(DIST, 'THIRD_PARTY_NOTICES.txt'), noticesOf(inputs, ROOT))
  const { status, stderr } = spawnSync(process.execPath, [join(DIST, 'warm_up.js')], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await build()
