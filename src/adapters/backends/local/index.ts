/** The local key file: what can be configured, and what it is worth. */
import type { Finding } from '../../../ports/operations.js'
import { asKmsError } from '../../../ports/errors.js'
import type { Backend } from '../backend.js'
import { createKeyFile, readKeyFile } from './key_file.js'
import { settings, type LocalSettings } from './settings.js'
import { LocalKeyWrapper } from './wrapper.js'

export const local: Backend<LocalSettings> = {
  settings,
  warning:
    'the KEK is a file on this disk: it protects nothing from someone who has the disk or is root; use an HSM or a cloud KMS in production',

  open: ({ path }) => new LocalKeyWrapper(path),

  async check({ path }, { key }): Promise<readonly Finding[]> {
    const subject = `keys.${key}.path`
    try {
      const { keys } = await readKeyFile(path)
      const enabled = keys.filter((entry) => entry.enabled).length
      return [
        {
          level: 'ok',
          subject,
          text: `${path}: ${enabled} of ${keys.length} keys enabled, readable by us alone`,
        },
      ]
    } catch (error) {
      return [{ level: 'error', subject, text: asKmsError(error).message }]
    }
  },

  async keygen({ path }) {
    await createKeyFile(path)
    const wrapper = new LocalKeyWrapper(path)
    return `made ${path} with key id ${await wrapper.currentKeyId()}; back it up: without it every value is lost`
  },
}
