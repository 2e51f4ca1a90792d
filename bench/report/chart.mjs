/** The small picture: bars for a few ratios of a run, as SVG that reads on light and dark pages. */

const WIDTH = 640
const ROW = 22
const LABEL = 250
const VALUE = 70

/** @returns The text of an SVG file. */
export function chart({ figures, about }) {
  const warm = barsOf(
    figures,
    'throughput.',
    (name) => `${name.slice(0, 2)} ${name.slice(2).replace('.', ', ')} in flight`,
  )
  const lists = barsOf(figures, 'list.', (name) => `LIST, KMS ${name.replace('ms', ' ms')}`)
  const parts = [
    panel(
      'Warm calls: throughput of the null envelope (goal 0.9)',
      warm,
      { scale: (value) => value, mark: 0.9 },
      0,
    ),
    panel(
      'Serial LIST: times as fast as asking the KMS each time',
      lists,
      { scale: logarithmic(lists) },
      (warm.length + 2) * ROW,
    ),
  ]
  const height = (warm.length + lists.length + 4) * ROW
  const caption = `${about.date}, Node.js ${about.node}, medians with the lowest and highest round`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12" fill="#777">
${parts.join('\n')}
<text x="0" y="${height - 6}" font-size="10">${caption}</text>
</svg>
`
}

function barsOf(figures, prefix, labelOf) {
  return Object.entries(figures)
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, figure]) => ({ label: labelOf(name.slice(prefix.length)), ...figure }))
}

/** From 1 on the left to the highest on the right. */
function logarithmic(bars) {
  const top = Math.log(Math.max(2, ...bars.map(({ high }) => high)))
  return (value) => Math.max(0, Math.log(value)) / top
}

function panel(title, bars, { scale, mark }, top) {
  const x = (value) => LABEL + Math.min(1, scale(value)) * (WIDTH - LABEL - VALUE)
  const lines = bars.map(({ label, median, low, high }, row) => {
    const y = top + (row + 1) * ROW
    const middle = y + ROW / 2 - 3
    return [
      `<text x="0" y="${y + 12}">${label}</text>`,
      `<rect x="${LABEL}" y="${y}" width="${(x(median) - LABEL).toFixed(1)}" height="${ROW - 6}" fill="#4a7fb5"/>`,
      `<path d="M${x(low).toFixed(1)} ${middle}H${x(high).toFixed(1)}" stroke="#d08a2e" stroke-width="2"/>`,
      `<text x="${WIDTH - VALUE + 8}" y="${y + 12}">${median.toFixed(2)}×</text>`,
    ].join('')
  })
  const bottom = top + (bars.length + 1) * ROW - 4
  const goal =
    mark === undefined ? '' : `<path d="M${x(mark).toFixed(1)} ${top + ROW - 4}V${bottom}" stroke="#b54a4a"/>`
  return [`<text x="0" y="${top + 14}" font-weight="bold">${title}</text>`, ...lines, goal].join('\n')
}
