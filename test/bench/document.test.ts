/** Does docs/performance.md show the run that docs/performance.json holds? */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { PAGE, pageWith, savedResults } from '../../bench/report/document.mjs'
import { SERVER_OPTIONS as nullOptions } from '../../bench/subjects/grpc_server.mjs'
import { SERVER_OPTIONS } from '../../src/adapters/grpc/server.js'

it('the tables of docs/performance.md are those of its saved run', async () => {
  const page = readFileSync(PAGE, 'utf8')
  expect(await pageWith(page, savedResults())).toBe(page)
})

it('a page without its marks is refused, not overwritten', async () => {
  await expect(pageWith('# Performance\n', savedResults())).rejects.toThrow('marks')
})

it('the null subjects have the options of the product', () => {
  expect(nullOptions).toEqual(SERVER_OPTIONS)
})
