/** Values that OVHcloud's KMIP library makes as OVHcloud's plugin calls it, on a server of that library. Fresh ones at each run. */
import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { openWrapper } from '../../../src/adapters/backends/kmip/open.js'
import { okmsKmip } from '../../../src/adapters/formats/okms_kmip.js'
import { silentLogger } from '../../../src/ports/logger.js'
import { outcomeOf } from '../../doubles/outcome.js'
import { openForeign } from '../../support/foreign.js'
import { goProgram } from '../go_program.js'
import { kmipGoMissing, startKmipGo } from './server.js'

const client = goProgram(import.meta.dirname, 'values', 'kmip-go-values')
const missing = kmipGoMissing ?? client.missing
const title = 'values by kmip-go’s client'

interface Line {
  readonly ciphertext: string
  readonly iv: string
}

describe.skipIf(missing !== undefined)(
  missing === undefined ? title : `${title} (skipped: ${missing})`,
  () => {
    // The administrator of these tests speaks 1.2.
    test.each([
      ['1.4', '4', ['-versions', '1.4,1.3,1.2,1.1']],
      ['1.3', '3', ['-versions', '1.3,1.2', '-append-tag']],
      ['1.2', '2', ['-versions', '1.2', '-append-tag']],
    ] as const)('made at KMIP %s open, with a key that the settings do not name', async (_, minor, flags) => {
      const server = await startKmipGo(...flags)
      const { address, caFile, clientCertFile, clientKeyFile } = server.settings
      const uid = await server.admin.makeKey()
      const other = await server.admin.makeKey()
      const deps = { key: 'kek', logger: silentLogger, callTimeoutMs: 20_000 }
      const wrapper = openWrapper({ ...server.settings, keyId: other }, deps)
      try {
        const plaintexts = [32, 1, 100].map((length) => randomBytes(length))
        const lines = client.run(
          [
            '-address',
            address,
            '-ca',
            caFile,
            '-cert',
            clientCertFile,
            '-key',
            clientKeyFile,
            '-uid',
            uid,
            '-minor',
            minor,
          ],
          plaintexts.map((one) => one.toString('base64')),
        )
        for (const [i, line] of lines.entries()) {
          const { ciphertext, iv } = JSON.parse(line) as Line
          const annotations = {
            'iv.okms.ovh.com': Buffer.from(iv, 'base64'),
            'alg.okms.ovh.com': Buffer.from('AES_GCM'),
          }
          const value = { ciphertext: Buffer.from(ciphertext, 'base64'), keyId: uid, annotations }
          const opened = await openForeign(okmsKmip, {}, value, wrapper)
          expect(Buffer.from(opened).equals(plaintexts[i]!)).toBe(true)
          const wrongKey = openForeign(okmsKmip, {}, { ...value, keyId: other }, wrapper)
          expect(await outcomeOf(wrongKey)).toBe('ERR_DECRYPTION_FAILED')
          const noKey = openForeign(okmsKmip, {}, { ...value, keyId: 'nobody' }, wrapper)
          expect(await outcomeOf(noKey)).toBe('ERR_KEY_UNKNOWN')
        }
        expect(lines).toHaveLength(plaintexts.length)
      } finally {
        await wrapper.close()
        await server.close()
      }
    })
  },
)
