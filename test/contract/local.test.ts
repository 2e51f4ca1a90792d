import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createKeyFile } from '../../src/adapters/backends/local/key_file.js'
import { LocalKeyWrapper } from '../../src/adapters/backends/local/wrapper.js'
import { keyWrapperContract } from './key_wrapper.js'

keyWrapperContract('local', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kmsplugin-'))
  const path = join(folder, 'key')
  await createKeyFile(path)
  return { open: () => new LocalKeyWrapper(path), remove: async () => rm(folder, { recursive: true }) }
})
