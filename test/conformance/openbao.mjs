// A throwaway OpenBao with KEKs in its Transit engine, driven by its own command line.
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openBaoMissing, openBaoPath } from '../../scripts/openbao.mjs'

export const missingForVault = openBaoMissing

const START_TIMEOUT_MS = 60_000

const POLICY = ['keys', 'encrypt', 'decrypt']
  .map((what) => `path "transit/${what}/*" { capabilities = ["${what === 'keys' ? 'read' : 'update'}"] }`)
  .join('\n')

/** As `prepare` in backends.mjs; `close()` ends the server. */
export function prepareVault(folder, port) {
  const state = join(folder, 'openbao')
  mkdirSync(state, { mode: 0o700 })
  const address = `127.0.0.1:${port}`
  const caFile = join(state, 'vault-ca.pem')
  // By the environment: a command line is there for everybody to read.
  const rootToken = randomBytes(16).toString('hex')
  const log = openSync(join(state, 'log'), 'a', 0o600)
  const args = ['server', '-dev-tls', `-dev-tls-cert-dir=${state}`, `-dev-listen-address=${address}`]
  const server = spawn(openBaoPath(), [...args, '-dev-no-store-token'], {
    env: { ...process.env, BAO_DEV_ROOT_TOKEN_ID: rootToken },
    stdio: ['ignore', log, log],
  })
  closeSync(log)
  // Nothing outlives us, whatever ends us.
  const kill = () => server.kill('SIGKILL')
  process.on('exit', kill)
  const env = { BAO_ADDR: `https://${address}`, BAO_CACERT: caFile, BAO_TOKEN: rootToken }
  const bao = (words, input) =>
    spawnSync(openBaoPath(), words, {
      env: { ...process.env, ...env },
      input,
      encoding: 'utf8',
      timeout: 30_000,
    })
  const must = (words, input) => {
    const { status, stdout, stderr, error } = bao(words, input)
    if (status !== 0) throw new Error(`bao ${words.join(' ')}: ${stderr || error?.message}`)
    return stdout.trim()
  }
  const giveUpAt = Date.now() + START_TIMEOUT_MS
  while (bao(['status']).status !== 0) {
    if (Date.now() > giveUpAt)
      throw new Error(`OpenBao does not start: ${readFileSync(join(state, 'log'), 'utf8')}`)
  }
  must(['secrets', 'enable', 'transit'])
  must(['policy', 'write', 'kms', '-'], POLICY)
  const token = must(['token', 'create', '-policy=kms', '-period=1h', '-orphan', '-field=token'])
  const tokenFile = join(state, 'token')
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
  return {
    env: {},
    keySection: (name) => ({
      backend: 'vault',
      url: env.BAO_ADDR,
      caFile,
      keyName: name,
      auth: { method: 'token', token: `file:${tokenFile}` },
      decode: ['vault-kubernetes-kms'],
    }),
    peer: { url: env.BAO_ADDR, caFile, token, key: 'kek-1' },
    makeKek: (name) => must(['write', '-f', `transit/keys/${name}`]),
    rotate: (name) => must(['write', '-f', `transit/keys/${name}/rotate`]),
    close: () => {
      process.off('exit', kill)
      kill()
    },
  }
}
