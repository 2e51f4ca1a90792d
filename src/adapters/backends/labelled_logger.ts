import type { LogFields, Logger } from '../../ports/logger.js'

/** The same log with these fields in every line. */
export function labelled(logger: Logger, labels: LogFields): Logger {
  return {
    isEnabled: (level) => logger.isEnabled(level),
    debug: (text, fields) => logger.debug(text, { ...labels, ...fields }),
    info: (text, fields) => logger.info(text, { ...labels, ...fields }),
    warn: (text, fields) => logger.warn(text, { ...labels, ...fields }),
    error: (text, fields) => logger.error(text, { ...labels, ...fields }),
  }
}
