/** `kmsplugin keygen`: creates the KEK of one configured key. */
import { UsageError } from './arguments.js'
import type { Command } from './command.js'
import { EXIT } from './exit_codes.js'
import { configFlag, loadConfig } from './load_config.js'
import { oneLine } from './text.js'

export const keygen: Command = {
  name: 'keygen',
  synopsis: '[--config FILE] --key NAME',
  summary: 'create the KEK of a configured key where it lives; never done implicitly',
  description:
    'Creates the KEK on the token or in the local key file of keys.NAME, and refuses where one exists.\n' +
    'Exit codes: 0 created, 69 backend unavailable or unwilling, 78 configuration invalid or KEK exists.',
  examples: ['kmsplugin keygen --config /etc/kmsplugin/kmsplugin-config.yaml --key hsm'],
  flags: [configFlag, ['key', 'its name under `keys` in the configuration']],
  maxWords: 0,
  async run(invocation) {
    const { args, io, services } = invocation
    if (args.key === undefined) throw new UsageError('--key NAME is missing')
    const loaded = await loadConfig(invocation)
    if (loaded === undefined) return EXIT.config
    const maker = await services.keyMaker(loaded.config)
    io.stdout(`${oneLine(await maker.make(args.key))}\n`)
    return EXIT.ok
  },
}
