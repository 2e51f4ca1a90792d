/** `kmsplugin status`: what does a running plugin answer to kube-apiserver? */
import type { Command, Invocation } from './command.js'
import { EXIT } from './exit_codes.js'
import { chosenConfig, configFlag, configPath, loadConfig, readConfig } from './load_config.js'
import { columns, json, jsonFlag } from './text.js'

const DEFAULT_SOCKET = '/run/kmsplugin/kms.sock'

export const status: Command = {
  name: 'status',
  synopsis: '[--socket PATH] [--config FILE] [--json]',
  summary: 'ask a running plugin what kube-apiserver would ask it',
  description:
    'Calls Status of KMS v2 on the socket: that of --socket, else of the configuration, else\n' +
    `${DEFAULT_SOCKET}.\n` +
    'Exit codes: 0 healthz is ok, 1 it is not, 69 no answer, 78 configuration invalid.',
  examples: ['kmsplugin status', 'kmsplugin status --socket /run/kmsplugin/kms.sock --json'],
  flags: [['socket', 'socket of the running plugin'], configFlag, jsonFlag],
  maxWords: 0,
  async run(invocation) {
    const { args, io, services } = invocation
    const socket = await findSocket(invocation)
    if (socket === undefined) return EXIT.config
    const client = await services.kmsClient(socket)
    try {
      const { healthz, version, keyId } = await client.status()
      io.stdout(
        args.json
          ? json({ socket, healthz, version, keyId })
          : columns([
              ['healthz', healthz],
              ['version', version],
              ['key id', keyId],
            ]),
      )
      // kube-apiserver compares with exactly this text.
      return healthz === 'ok' ? EXIT.ok : EXIT.problem
    } finally {
      client.close()
    }
  },
}

/** A configuration that nobody asked for may be missing or unreadable: a status needs none. */
async function findSocket(invocation: Invocation): Promise<string | undefined> {
  const { args, io } = invocation
  if (args.socket !== undefined) return args.socket.replace(/^unix:\/\//, '')
  if (chosenConfig(invocation) !== undefined) return (await loadConfig(invocation))?.config.server.socket
  const { loaded } = await readConfig(invocation)
  if (loaded !== undefined) return loaded.config.server.socket
  io.stderr(`kmsplugin: ${configPath(invocation)} does not load; asking ${DEFAULT_SOCKET}\n`)
  return DEFAULT_SOCKET
}
