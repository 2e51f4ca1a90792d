// LocalStack, which plays AWS KMS, in a Python environment outside the tree. Nothing of it runs here; test/servers/aws starts it.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ROOT, run, say } from './setup.mjs'

const REQUIREMENTS = join(ROOT, 'test/servers/aws/requirements.txt')

/** Its KMS is written in the syntax of Python 3.12. */
const PYTHONS = ['python3', 'python3.14', 'python3.13', 'python3.12']

/** Where the Python of the environment is, or will be: other requirements, another folder. */
function folder() {
  const print = createHash('sha256').update(readFileSync(REQUIREMENTS)).digest('hex').slice(0, 16)
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return join(cache, 'kmsplugin', `localstack-${print}`)
}

/** The Python that has LocalStack and botocore; `undefined` before {@link ensureLocalStack}. */
export function localStackPython() {
  return existsSync(join(folder(), 'ready')) ? join(folder(), 'bin', 'python') : undefined
}

/** Makes the environment, once. Answers what is missing, or `undefined`. */
export function ensureLocalStack() {
  if (localStackPython() !== undefined) return undefined
  const python = findPython()
  if (python === undefined) return 'LocalStack is missing: it needs Python 3.12 or newer with its module venv'
  say('setup: LocalStack, from PyPI')
  const target = folder()
  rmSync(target, { recursive: true, force: true })
  mkdirSync(target, { recursive: true, mode: 0o700 })
  if (!run(python, ['-m', 'venv', target])) return 'LocalStack is missing: python3 -m venv fails'
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--quiet', '--no-deps']
  const inside = join(target, 'bin', 'python')
  if (!run(inside, [...pip, '-r', REQUIREMENTS]))
    return 'LocalStack is missing: it could not be installed from PyPI'
  if (!run(inside, ['-c', 'import localstack.services.kms.provider, localstack.aws.components, botocore'])) {
    return 'LocalStack is installed and does not load; the messages above say why'
  }
  writeFileSync(join(target, 'ready'), '')
  return undefined
}

function findPython() {
  const pyenv = process.env.PYENV_ROOT || join(homedir(), '.pyenv')
  const more = existsSync(join(pyenv, 'versions')) ? versionsOf(pyenv) : []
  return [...PYTHONS, ...more].find(isGood)
}

/** Newest first. */
function versionsOf(pyenv) {
  const names = readdirSync(join(pyenv, 'versions')).filter((name) => /^3\.1[2-4]\./.test(name))
  return names
    .sort()
    .reverse()
    .map((name) => join(pyenv, 'versions', name, 'bin', 'python3'))
}

function isGood(python) {
  const code = 'import sys, venv, ensurepip; sys.exit(0 if (3, 12) <= sys.version_info < (3, 15) else 1)'
  return spawnSync(python, ['-c', code]).status === 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(localStackPython() ?? '')
