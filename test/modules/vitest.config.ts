/** The tests on PKCS#11 modules that need daemons: npm run test:extended runs them, npm test does not. */
import { defineConfig } from 'vitest/config'
import base from '../../vitest.config.js'

export default defineConfig({
  test: {
    ...base.test,
    include: ['test/modules/**/*.test.ts'],
    exclude: [],
    // A machine has one openCryptoki.
    fileParallelism: false,
  },
})
