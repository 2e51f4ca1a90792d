import { openWrapper } from '../../src/adapters/backends/kmip/open.js'
import { silentLogger } from '../../src/ports/logger.js'
import { Scene } from '../adapters/kmip/scene.js'
import type { Habits } from '../support/fakes/kmip.js'
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

/** Ways to wrap that no server here has, on the fake. */
const others: readonly (readonly [string, Habits])[] = [
  ['1.3, tag behind the data', { versions: ['1.3'], appendsTag: true }],
  ['1.2, AES-KW', { versions: ['1.2'], modes: [13] }],
  ['1.4, AES-KWP', { versions: ['1.4'], modes: [12] }],
  ['2.1', { versions: ['2.1'] }],
  ['1.4, GeneralFailure for bad data', { badTagReason: 0x100 }],
]
for (const [name, habits] of others) {
  keyWrapperContract(`KMIP ${name} (fake)`, async () => {
    const scene = await Scene.start(habits)
    return { open: () => scene.open(), remove: async () => scene.close() }
  })
}
