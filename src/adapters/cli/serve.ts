/** `kmsplugin serve`: runs the plugin. */
import type { Command } from './command.js'
import { EXIT } from './exit_codes.js'
import { configFlag, configPath, loadConfig } from './load_config.js'

export const serve: Command = {
  name: 'serve',
  synopsis: '[--config FILE]',
  summary: 'run the plugin',
  description:
    'Serves kube-apiserver on the configured socket until SIGTERM or SIGINT. The socket is there at once,\n' +
    'even while the backend is out. Logs go to stderr.\n' +
    'Exit codes: 0 stopped as asked, 69 the socket is in use (and server.restartDelay is 0),\n' +
    '78 configuration invalid.',
  examples: ['kmsplugin serve --config /etc/kmsplugin/kmsplugin-config.yaml'],
  flags: [configFlag],
  maxWords: 0,
  async run(invocation) {
    const loaded = await loadConfig(invocation)
    if (loaded === undefined) return EXIT.config
    const { config, notices } = loaded
    return invocation.services.serve({ configs: [config], origin: configPath(invocation), notices })
  },
}
