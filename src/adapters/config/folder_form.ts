/** How is a folder written that need not be named? */
import { posix } from 'node:path'
import { textOf, type Form } from './forms.js'

/** An absolute path, or nothing. */
export const optionalFolder: Form<string | undefined> = {
  text: 'absolute path, or `""`',
  schema: { type: 'string', pattern: '^(/.+)?$' },
  read: (value) => {
    const path = textOf(value, '/var/lib/kmsplugin')
    if (path === '') return undefined
    if (!path.startsWith('/')) throw new Error('must be an absolute path, or "" for none')
    if (path === '/' || path.endsWith('/') || posix.normalize(path) !== path || /\p{Cc}/u.test(path)) {
      throw new Error('must be a plain path: no "..", no "//", no "/" at the end, no control characters')
    }
    return path
  },
  write: (path) => path ?? '',
}
