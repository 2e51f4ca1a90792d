/** How are the attributes of a key written, asked for and read? KMIP 1.x names them by texts, 2.x by their tags. */
import { all, optional, required, type Fields } from './fields.js'
import { tags } from './tags.js'
import { enumeration, structure, text, TtlvError, type Item } from './ttlv.js'
import { isAtLeast, type KmipVersion } from './version.js'

/** Those that we ask for. */
const names: Readonly<Record<number, string>> = {
  [tags.ACTIVATION_DATE]: 'Activation Date',
  [tags.CRYPTOGRAPHIC_ALGORITHM]: 'Cryptographic Algorithm',
  [tags.CRYPTOGRAPHIC_LENGTH]: 'Cryptographic Length',
  [tags.CRYPTOGRAPHIC_USAGE_MASK]: 'Cryptographic Usage Mask',
  [tags.DEACTIVATION_DATE]: 'Deactivation Date',
  [tags.INITIAL_DATE]: 'Initial Date',
  [tags.NAME]: 'Name',
  [tags.OBJECT_TYPE]: 'Object Type',
  [tags.PROTECT_STOP_DATE]: 'Protect Stop Date',
  [tags.STATE]: 'State',
}

const asked = Object.keys(names).map(Number)

/** The fields by which Get Attributes names what it wants. */
export function attributeReferences(version: KmipVersion): Fields {
  return asked.map((tag) =>
    isAtLeast(version, [2, 0])
      ? enumeration(tags.ATTRIBUTE_REFERENCE, tag)
      : text(tags.ATTRIBUTE_NAME, names[tag] ?? ''),
  )
}

/** Attributes with values, as Locate takes them. */
export function attributesOf(version: KmipVersion, items: Fields): Fields {
  if (isAtLeast(version, [2, 0])) return [structure(tags.ATTRIBUTES, ...items)]
  return items.map((item) =>
    structure(
      tags.ATTRIBUTE,
      text(tags.ATTRIBUTE_NAME, names[item.tag] ?? ''),
      retagged(item, tags.ATTRIBUTE_VALUE),
    ),
  )
}

/** The attributes of an answer, each under its own tag; those that we did not ask for are left out. */
export function attributesIn(version: KmipVersion, payload: Fields): Fields {
  if (isAtLeast(version, [2, 0])) return optional(payload, tags.ATTRIBUTES, 'structure') ?? []
  const found = all(payload, tags.ATTRIBUTE, 'structure').map((attribute) => {
    const name = required(attribute, tags.ATTRIBUTE_NAME, 'text')
    const values = attribute.filter(({ tag }) => tag === tags.ATTRIBUTE_VALUE)
    const [value] = values
    if (value === undefined || values.length !== 1) throw new TtlvError('has an attribute without one value')
    const tag = asked.find((known) => names[known] === name)
    return tag === undefined ? undefined : retagged(value, tag)
  })
  return found.filter((item) => item !== undefined)
}

function retagged(item: Item, tag: number): Item {
  return { ...item, tag }
}
