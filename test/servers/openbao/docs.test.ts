/** The commands of docs/vault.md do on OpenBao what they are there for. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openBaoPath } from '../../../scripts/openbao.mjs'
import { unlessMissing } from '../../support/modules/token_module.js'
import { Bench, roundTrip } from './bench.js'
import { setupCommands } from './policy.js'
import { missing } from './server.js'

describe.skipIf(missing !== undefined)(unlessMissing('the commands of docs/vault.md', missing), () => {
  let bench: Bench
  beforeAll(async () => {
    bench = await Bench.startEmpty()
  })
  afterAll(async () => {
    await bench.close()
  })

  /** In bash, which stops at the first that fails; `vault` is `bao`, and the user of the plugin is whoever runs this. */
  const run = async (commands: string): Promise<string> => {
    const { server } = bench
    const stands = 'vault() { "$BAO_BIN" "$@"; }\nchown() { command chown "$(id -u)" "$2"; }'
    const script = `set -euo pipefail\n${stands}\n${commands}`
    const env = {
      ...{ PATH: process.env['PATH'], HOME: server.files.folder, BAO_BIN: openBaoPath() },
      ...{ BAO_ADDR: server.url, BAO_CACERT: server.caFile, BAO_TOKEN: server.api.access.token },
    }
    return (await promisify(execFile)('bash', ['-c', script], { env, timeout: 60_000 })).stdout
  }

  test('those under "Set it up" are all that the plugin needs', async () => {
    const { folder } = bench.server.files
    await run(setupCommands().replaceAll('/etc/kmsplugin', folder))
    const roleId = await run('vault read -field=role_id auth/approle/role/kmsplugin/role-id')
    const auth = { method: 'approle', roleId, secretId: `file:${folder}/vault-secret-id` }
    await roundTrip(bench.open({ auth }).core)
    expect((await bench.check({ auth })).filter((line) => !line.startsWith('ok'))).toEqual([])
  })

  test('the one under "Rotation" moves the key id', async () => {
    const auth = await bench.token(['kmsplugin'])
    const { core } = bench.open({ auth })
    const before = await roundTrip(core)
    await run('vault write -f transit/keys/kek/rotate')
    expect((await roundTrip(core)).keyId).not.toBe(before.keyId)
  })
})
