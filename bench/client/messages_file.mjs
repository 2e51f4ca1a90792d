/** Messages in a file, each behind its length in 4 bytes, big-endian. */

export function joinMessages(messages) {
  return Buffer.concat(
    messages.flatMap((message) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(message.length)
      return [length, message]
    }),
  )
}

export function splitMessages(bytes) {
  const messages = []
  for (let at = 0; at < bytes.length;) {
    const start = at + 4
    at = start + bytes.readUInt32BE(at)
    if (at > bytes.length) throw new Error('the file of messages ends inside one')
    messages.push(bytes.subarray(start, at))
  }
  return messages
}
