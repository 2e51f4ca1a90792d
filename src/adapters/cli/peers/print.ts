/** How does what a command line of another plugin says read as a file of ours? */

/**
 * One YAML document for each configuration, with what a reader must know in comments on top.
 *
 * @param name Of the plugin.
 * @param variables That the configuration refers to, and that only the command line gave a value.
 */
export function printed(name: string, documents: readonly string[], variables: readonly string[]): string {
  const count = documents.length
  return documents
    .map((yaml, index) => {
      const comments = [
        `What "kmsplugin ${name}" runs with these arguments, in the layout of kmsplugin.`,
        ...(count === 1 ? [] : severalComments(index + 1, count)),
        ...variables.map(
          (variable) =>
            `The secret behind env:${variable} was on the command line and is not printed: set ${variable} in the environment of the process, or write file:/absolute/path here.`,
        ),
      ]
      return `${comments.map((line) => `# ${line}\n`).join('')}${yaml}`
    })
    .join('---\n')
}

function severalComments(position: number, count: number): string[] {
  return [
    `Document ${position} of ${count}: each is the file of a process of its own, with a socket of its own.`,
    position === 1
      ? 'The health server of this one told of all keys; as a process of its own it tells of its own.'
      : 'It has no health server, since the first document has that address: give it another one in health.address.',
  ]
}
