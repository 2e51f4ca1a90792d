/** Outages of the HSM, measured: npm run outages and npm run hung; a few rounds in npm run test:extended. */
import { defineConfig } from 'vitest/config'
import base from '../../vitest.config.js'

export default defineConfig({
  test: {
    ...base.test,
    include: ['test/outages/**/*.test.ts'],
    exclude: [],
    // One at a time: it is the times that count.
    fileParallelism: false,
    testTimeout: 3_600_000,
    disableConsoleIntercept: true,
  },
})
