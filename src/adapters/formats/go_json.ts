/** How does Go's encoding/json write an object of texts? */

/** Beyond what JSON wants escaped, Go escapes what HTML or JavaScript would take for its own. */
const escaped = /[<>&\u2028\u2029]/g

/** One line in UTF-8, in the order of the names. */
export function goJson(texts: Readonly<Record<string, string>>): Uint8Array {
  const json = JSON.stringify(texts).replace(
    escaped,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  return Buffer.from(json, 'utf8')
}
