/** The tests on real KMS servers: npm run test:extended fetches what they need and runs them, npm test does not. */
import { defineConfig } from 'vitest/config'
import base from '../../vitest.config.js'

export default defineConfig({
  test: {
    ...base.test,
    include: ['test/servers/**/*.test.ts'],
    exclude: [],
    // Logins, leases and restarts of a real server take their time, on a machine that others may keep busy.
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
})
