import * as z from 'zod'

export const settings = z.strictObject({
  backend: z.literal('local').describe('A key in a file on this machine. For laptops and tests.'),
  path: z
    .string()
    .regex(/^\//, 'must be an absolute path')
    .describe(
      'The key file: mode 0600, owned by the user of the plugin, no symlink. `kmsplugin keygen` makes it.',
    ),
})

export type LocalSettings = z.infer<typeof settings>
