/** The fake is a KMIP server: PyKMIP's own client says so. */
import { execFile } from 'node:child_process'
import { createCipheriv } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { makeAuthority, PrivateFiles } from '../certificates.js'
import { pykmipMissing } from '../pykmip.js'
import { FakeKmip } from './kmip.js'

const title =
  pykmipMissing === undefined ? 'the fake KMIP server' : `the fake KMIP server (skipped: ${pykmipMissing})`

describe.skipIf(pykmipMissing !== undefined)(title, () => {
  test.each(['1.4', '2.0'])('serves PyKMIP’s client at %s', async (version) => {
    const authority = await makeAuthority()
    const files = new PrivateFiles()
    const client = await authority.issue({ commonName: 'official' })
    const tls = { ca: authority.cert, requestCert: true, rejectUnauthorized: true }
    const fake = await FakeKmip.start({ ...(await authority.issue()), ...tls }, { versions: ['2.0', '1.4'] })
    try {
      const key = fake.addKey({ name: 'kek' })
      const { stdout } = await promisify(execFile)('/usr/bin/python3', [
        join(import.meta.dirname, 'kmip_official_client.py'),
        files.write('ca.pem', authority.cert),
        files.write('client.pem', client.cert),
        files.write('client.key', client.key),
        String(fake.port),
        version,
        key.uid,
        'kek',
      ])
      const cipher = createCipheriv('aes-256-gcm', key.material, Buffer.alloc(12)).setAAD(
        Buffer.from('associated'),
      )
      const sealed = Buffer.concat([cipher.update('x'.repeat(32)), cipher.final(), cipher.getAuthTag()])
      const said = JSON.parse(stdout) as Record<string, unknown>
      expect(said).toMatchObject({
        located: [key.uid],
        sealed: sealed.toString('hex'),
        opened: 'x'.repeat(32),
        refusal: 'CRYPTOGRAPHIC_FAILURE',
      })
      expect(said['attributes']).toMatchObject({ 'Cryptographic Length': '256' })
    } finally {
      await fake.close()
      files.remove()
    }
  })
})
