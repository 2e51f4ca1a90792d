/** How does a test run the built program on a SoftHSM token of its own? */
import { readdirSync, readFileSync } from 'node:fs'
import { Sandbox, type Process, type Settings, type StartOptions } from './plugin.js'
import { makeSoftHsm, type SoftHsm } from './softhsm.js'

/** A sandbox with a token; the key is called `hsm`, its KEK `kek-1`. */
export class HsmSandbox extends Sandbox {
  readonly hsm: SoftHsm

  private constructor(hsm: SoftHsm) {
    super()
    this.hsm = hsm
  }

  /** @param withKey Whether `keygen` has made the KEK. */
  static async make(withKey = true): Promise<HsmSandbox> {
    const sandbox = new HsmSandbox(await makeSoftHsm())
    if (!withKey) return sandbox
    const { code, stderr } = await sandbox.onToken('keygen', '--key', 'hsm')
    if (code === 0) return sandbox
    await sandbox.close()
    throw new Error(`keygen failed: ${stderr}`)
  }

  /** The settings under `keys.hsm`. */
  key(changes: Settings = {}): Settings {
    const { module, tokenLabel, pinFile } = this.hsm
    return { backend: 'pkcs11', module, tokenLabel, pin: `file:${pinFile}`, keyLabel: 'kek-1', ...changes }
  }

  hsmConfig(changes: Settings = {}): Settings {
    return this.localConfig({ primary: 'hsm', keys: { hsm: this.key() }, ...changes })
  }

  /** Runs a command with the config of {@link hsmConfig} to its end. */
  async onToken(command: string, ...words: string[]) {
    return this.run([command, '--config', this.writeConfig(this.hsmConfig()), ...words], {
      env: this.hsm.env,
    })
  }

  async serveHsm(changes?: Settings, options: StartOptions = {}): Promise<Process> {
    return this.serve(this.hsmConfig(changes), { ...options, env: { ...this.hsm.env, ...options.env } })
  }

  beginHsm(changes?: Settings): Process {
    return this.begin(this.hsmConfig(changes), { env: this.hsm.env })
  }

  override async close(): Promise<void> {
    await super.close()
    await this.hsm.remove()
  }
}

/** The pids of a process's children, from /proc (proc(5)). */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((other) => parentOf(other) === pid)
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command in parentheses may hold anything; the parent is the second field after it.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  } catch {
    return undefined
  }
}
