/** When is a folder that is made now younger than this one? */
import { rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from './plugin.js'

/** Waits until the file system's clock, which ticks every few milliseconds, has gone on since the folder was made. */
export async function hasAged(folder: string): Promise<void> {
  const probe = join(folder, 'probe')
  await until(async () => {
    await writeFile(probe, '')
    const options = { bigint: true } as const
    return (await stat(probe, options)).mtimeNs > (await stat(folder, options)).birthtimeNs
  })
  await rm(probe)
}
