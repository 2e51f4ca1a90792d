/** What the benchmark prints. */
import { goals, judge } from '../goals.mjs'

export function printTable({ title, table, skipped }) {
  console.log(`\n${title}`)
  if (skipped !== undefined) {
    console.log(`  skipped: ${skipped}`)
    return
  }
  const lines = [table.head, ...table.rows]
  const widths = table.head.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  for (const line of lines)
    console.log(`  ${line.map((cell, column) => cell.padEnd(widths[column])).join('  ')}`)
}

export function printGoals({ figures }) {
  const rows = goalRows(figures)
  printTable({ title: 'Goals', table: { head: ['figure', 'goal', 'median', 'lowest–highest', ''], rows } })
}

/** Each goal as texts: what, how much is wanted, what was measured, and the judgement. */
export function goalRows(figures) {
  return goals.map((goal) => {
    const wanted = goal.atLeast === undefined ? `≤ ${goal.atMost}` : `≥ ${goal.atLeast}`
    const found = figures[goal.figure]
    const measured =
      found === undefined ? ['-', '-'] : [short(found.median), `${short(found.low)}–${short(found.high)}`]
    return [goal.text, wanted, ...measured, judge(goal, figures)]
  })
}

function short(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(3)
}
