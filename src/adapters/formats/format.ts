/** What a file of a foreign format exports; adapters/formats/index.ts lists them. */
import type * as z from 'zod'
import type {
  ForeignDecoder,
  ForeignExplanation,
  OpeningPlan,
  Sign,
  StoredValue,
} from '../../ports/foreign.js'

/** What is allowed beyond the options of the format itself. */
export interface Permission {
  /** `allowUnauthenticated` of the key: values that nothing protects against alteration may be opened. */
  readonly allowUnauthenticated: boolean
}

/**
 * The bytes of another plugin: how they are told, explained and opened. Pure: it asks nobody, and knows neither key nor
 * backend.
 */
export interface Format<Options> {
  /** As in `decode` and in metrics: a-z, 0-9 and "-". */
  readonly name: string
  /** Who writes it, for a sentence: `vault-kubernetes-kms`. */
  readonly writtenBy: string
  /** The backends whose keys open it. */
  readonly backends: readonly string[]
  /** Whether all, some or none of its values are protected against alteration. Not all: needs a permission, and warns. */
  readonly authenticated: 'all' | 'some' | 'none'
  /**
   * Makes the schema of its options, strict; each with `.describe()`. `format` itself is not among them. Made for those
   * who list the format: the schemas of all would take milliseconds of every start.
   */
  readonly options: () => z.ZodType<Options>
  /** See {@link ForeignDecoder.recognize}. */
  recognize(value: StoredValue): Sign | undefined
  /** What a value that it recognizes says, in the order of the bytes; never throws. */
  explain(value: StoredValue): Omit<ForeignExplanation, 'format' | 'writtenBy'>
  /** See {@link ForeignDecoder.plan}. */
  plan(value: StoredValue, options: Options, permission: Permission): OpeningPlan
}

/** A format whose options were forgotten by the compiler: what the registration table holds. */
export interface AnyFormat extends Omit<Format<never>, 'options' | 'plan'> {
  /** Made when it is first asked for. */
  readonly options: z.ZodType
  /** @param options One entry of `decode`; it was validated by {@link options} before. */
  decoder(options: unknown, permission: Permission): ForeignDecoder
}

export function erased<Options>(format: Format<Options>): AnyFormat {
  const { name, writtenBy, backends, authenticated } = format
  let schema: z.ZodType<Options> | undefined
  const options = () => (schema ??= format.options())
  return {
    name,
    writtenBy,
    backends,
    authenticated,
    get options() {
      return options()
    },
    recognize: (value) => format.recognize(value),
    explain: (value) => format.explain(value),
    decoder: (given, permission) => {
      const parsed = options().parse(given)
      return {
        format: name,
        recognize: (value) => format.recognize(value),
        plan: (value) => format.plan(value, parsed, permission),
      }
    },
  }
}
