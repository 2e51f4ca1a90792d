import { openWrapper } from '../../src/adapters/backends/kmip/open.js'
import { silentLogger } from '../../src/ports/logger.js'
import { pykmipMissing, startPyKmip } from '../support/pykmip.js'
import { keyWrapperContract } from './key_wrapper.js'

const deps = { key: 'kek', logger: silentLogger, callTimeoutMs: 20_000 }

const server = async () => {
  const pykmip = await startPyKmip()
  const uid = await pykmip.admin.makeKey({ name: 'kek-1' })
  return { pykmip, uid }
}

for (const [major, minor] of [
  [1, 4],
  [2, 0],
] as const) {
  keyWrapperContract(
    `KMIP ${major}.${minor} (PyKMIP)`,
    async () => {
      const { pykmip, uid } = await server()
      return {
        open: () => openWrapper({ ...pykmip.settings, keyId: uid }, deps, [{ major, minor }]),
        remove: pykmip.close,
      }
    },
    pykmipMissing,
  )
}

keyWrapperContract(
  'KMIP (PyKMIP, by label)',
  async () => {
    const { pykmip } = await server()
    return {
      open: () => openWrapper({ ...pykmip.settings, keyLabel: 'kek-1' }, deps),
      remove: pykmip.close,
    }
  },
  pykmipMissing,
)
