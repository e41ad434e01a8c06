// Where the control socket of a server lies, for the server and for those who look for it.

import os from 'node:os'
import path from 'node:path'
import type { Environment } from '../config/environment.ts'

/** What decides on the place. */
export interface PlaceFacts {
  /** The setting `control`; empty when nobody has given it. */
  readonly control: string
  /** The folder of a server that keeps its jobs on disk; an absolute path. */
  readonly dataFolder: string | undefined
  /** The port that is listened on, not 0. */
  readonly port: number
  readonly env: Environment
  readonly cwd: string
}

/** The socket in the data folder, which is that folder's lock as well. */
export const lockFile = (dataFolder: string): string => path.join(dataFolder, 'control.sock')

/**
 * The path. Unless it is given it lies in the data folder. Without one it lies in the runtime
 * folder of the user, or else among the temporary files, and has the port in its name.
 */
export function controlFile({ control, cwd, dataFolder, env, port }: PlaceFacts): string {
  if (control !== '') return path.resolve(cwd, control)
  if (dataFolder !== undefined) return lockFile(dataFolder)
  const runtimeFolder = env['XDG_RUNTIME_DIR']
  const folder = runtimeFolder === undefined || runtimeFolder === '' ? os.tmpdir() : runtimeFolder
  return path.resolve(folder, `sluice-${port}.sock`)
}

/** Whether the path cannot be known before the server listens. */
export const dependsOnPort = (
  { control, dataFolder }: Pick<PlaceFacts, 'control' | 'dataFolder'>,
): boolean => control === '' && dataFolder === undefined
