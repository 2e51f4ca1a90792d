/** How does a run get into docs/performance.md? As a JSON file, a chart, and the part of the page between two marks. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import * as prettier from 'prettier'
import { chart } from './chart.mjs'
import { goalRows } from './terminal.mjs'

const DOCS = resolve(import.meta.dirname, '../../docs')
export const PAGE = join(DOCS, 'performance.md')
const RESULTS = join(DOCS, 'performance.json')
const CHART = join(DOCS, 'performance.svg')
const BEGIN = '<!-- what follows is written by npm run bench -- --save -->'
const END = '<!-- end of what is written by npm run bench -->'

/** Writes a run where its readers find it. A run of some scenarios replaces those: each says which commit it measured. */
export async function writeDocument(run) {
  const { commit } = run.about
  const measured = Object.entries(run.scenarios).map(([name, found]) => [name, { ...found, commit }])
  const before = existsSync(RESULTS) ? savedResults() : { scenarios: {}, figures: {} }
  const results = {
    about: run.about,
    scenarios: { ...before.scenarios, ...Object.fromEntries(measured) },
    figures: { ...before.figures, ...run.figures },
  }
  writeFileSync(RESULTS, await formatted(JSON.stringify(results), RESULTS))
  writeFileSync(CHART, chart(results))
  writeFileSync(PAGE, await pageWith(readFileSync(PAGE, 'utf8'), results))
}

/** The run that the page shows. */
export function savedResults() {
  return JSON.parse(readFileSync(RESULTS, 'utf8'))
}

/** `page` with the tables of `results` between the marks. */
export async function pageWith(page, results) {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`${PAGE} has lost its marks`)
  const text = `${page.slice(0, begin)}${BEGIN}\n\n${render(results)}\n\n${page.slice(end)}`
  return formatted(text, PAGE)
}

function render({ about, scenarios, figures }) {
  const kind = about.isQuick ? 'A quick run, whose figures mean little' : 'Rounds per scenario'
  const rounds = Object.entries(about.rounds).map(([name, count]) => `${name} ${count}`)
  const head = `${about.date}, Node.js ${about.node}, ${about.machine}; load generator: ${about.client}. ${kind}: ${rounds.join(', ')}.`
  const goals = table({ head: ['figure', 'goal', 'median', 'lowest–highest', ''], rows: goalRows(figures) })
  const parts = Object.values(scenarios).map(({ title, table: found, skipped, commit }) =>
    [`### ${title}`, `Commit ${commit}.`, skipped === undefined ? table(found) : `Skipped: ${skipped}.`].join(
      '\n\n',
    ),
  )
  return [head, '![The chart of this run](performance.svg)', '### Goals', goals, ...parts].join('\n\n')
}

function table({ head, rows }) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

async function formatted(text, path) {
  return prettier.format(text, { ...(await prettier.resolveConfig(path)), filepath: path })
}
