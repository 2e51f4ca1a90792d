/** `kmsplugin inspect`: what is this value from etcd? */
import type { Explanation, ValueExplainer } from '../../ports/operations.js'
import { asKmsError } from '../../ports/errors.js'
import { UsageError } from './arguments.js'
import type { Command, Invocation } from './command.js'
import { decodeInput, type DecodedInput } from './decode_input.js'
import { EXIT } from './exit_codes.js'
import { loadConfig } from './load_config.js'
import { columns, json, jsonFlag, oneLine } from './text.js'

const NEWLINE = 0x0a

export const inspect: Command = {
  name: 'inspect',
  synopsis: '[FILE|-] [--json] [--config FILE]',
  summary: 'explain a raw etcd value: provider, API version, key id, format; never needs a key',
  description:
    'Reads FILE, or stdin: the raw value, hex, base64, a dump of hexdump -C or xxd, or what etcdctl prints with or\n' +
    'without -w json. Knows the values of kmsplugin and of the plugins that it replaces.\n' +
    'Shows no content of the value, only its form. With --config, key ids get the names of their keys.\n' +
    'Exit codes: 0 well formed, 1 damaged or unknown, 78 configuration invalid.',
  examples: [
    'etcdctl get --print-value-only /registry/secrets/default/s1 | kmsplugin inspect',
    'kmsplugin inspect value.bin --json',
  ],
  flags: [jsonFlag, ['config', 'configuration whose key names are shown; without it, none is read']],
  maxWords: 1,
  async run(invocation) {
    const { args, io, services } = invocation
    const raw = await readInput(invocation)
    if (raw.length === 0) throw new UsageError('the input is empty: is there such a key in etcd?')
    const input = decodeInput(raw)

    let keyNames: ReadonlyMap<string, string> | undefined
    if (args.config !== undefined) {
      const loaded = await loadConfig(invocation)
      if (loaded === undefined) return EXIT.config
      keyNames = await services.keyNames(loaded.config).catch((thrown: unknown) => {
        io.stderr(`kmsplugin: no key names: ${oneLine(asKmsError(thrown).message)}\n`)
        return undefined
      })
    }
    const explanation = explain(await services.explainer(), raw, input, keyNames)
    io.stdout(args.json ? json(explanation) : asText(explanation))
    return explanation.wellFormed ? EXIT.ok : EXIT.problem
  },
}

async function readInput({ args, io }: Invocation): Promise<Uint8Array> {
  const [file] = args.words
  if (file === undefined && io.isTty) throw new UsageError('inspect needs a FILE, or a value on stdin')
  if (file === undefined || file === '-') return io.readStdin()
  try {
    return await io.readFile(file)
  } catch (thrown) {
    const why = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unreadable'
    throw new UsageError(`cannot read ${file}: ${why}`, { cause: thrown })
  }
}

/**
 * etcdctl and editors end a value with a newline; where the value is well formed without it, it is not the value's. And
 * what looks like hex or base64 may be the value itself: some plugins store text.
 */
function explain(
  explainer: ValueExplainer,
  raw: Uint8Array,
  { bytes, form }: DecodedInput,
  keyNames: ReadonlyMap<string, string> | undefined,
): Explanation {
  const decoded: Reading = { bytes, source: form }
  const isText = form === 'hex' || form === 'base64'
  const readings = isText
    ? [decoded, ...withoutNewline(raw, 'raw'), { bytes: raw, source: 'raw' }]
    : [...(form === 'etcdctl JSON' ? [] : withoutNewline(bytes, form)), decoded]
  const explained = readings.map(({ bytes: read, source }) => ({
    source,
    explanation: explainer.explain(read, keyNames),
  }))
  const best = explained.find(({ explanation }) => explanation.wellFormed)
  const { explanation, source } = best ?? { explanation: explainer.explain(bytes, keyNames), source: form }
  return { ...explanation, fields: [{ label: 'input', value: source }, ...explanation.fields] }
}

/** One way to understand the input. */
interface Reading {
  readonly bytes: Uint8Array
  readonly source: string
}

function withoutNewline(bytes: Uint8Array, form: string): Reading[] {
  if (bytes.at(-1) !== NEWLINE) return []
  return [{ bytes: bytes.subarray(0, -1), source: `${form}, without the newline at its end` }]
}

function asText({ summary, fields }: Explanation): string {
  return `${oneLine(summary)}\n${columns(fields.map(({ label, value }) => [label, value]))}`
}
