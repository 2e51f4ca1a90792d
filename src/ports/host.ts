/** The process that we are, as main.ts sees it. */
export interface Host {
  /** Of the plugin. */
  readonly version: string
  /** Of Node.js. */
  readonly nodeVersion: string
  readonly pid: number
  /** Effective user. */
  readonly uid: number
  readonly env: Readonly<Record<string, string | undefined>>
  /** Descriptor for logs. */
  readonly logFd: number
  /** Whether that is a terminal. */
  readonly logIsTty: boolean
}
