// The path of a server's control socket, for the server and for its clients.

import os from 'node:os'
import path from 'node:path'
import type { Environment } from '../config/environment.ts'

/** What determines the path. */
export interface PlaceFacts {
  /** The setting `control`; empty when it is not set. */
  readonly control: string
  /** The folder of a server that keeps its jobs on disk; an absolute path. */
  readonly dataFolder: string | undefined
  /** The port of the server, not 0. */
  readonly port: number
  readonly env: Environment
  readonly cwd: string
}

/** The socket in the data folder, which is also that folder's lock. */
export const lockFile = (dataFolder: string): string => path.join(dataFolder, 'control.sock')

/**
 * The path of the socket: the setting if there is one, else in the data folder; without one, in the
 * user's runtime folder, or else in the temporary folder, with the port in its name.
 */
export function controlFile({ control, cwd, dataFolder, env, port }: PlaceFacts): string {
  if (control !== '') return path.resolve(cwd, control)
  if (dataFolder !== undefined) return lockFile(dataFolder)
  const runtimeFolder = env['XDG_RUNTIME_DIR']
  const folder = runtimeFolder === undefined || runtimeFolder === '' ? os.tmpdir() : runtimeFolder
  return path.resolve(folder, `sluice-${port}.sock`)
}

/** Whether the path is not known before the server listens. */
export const dependsOnPort = (
  { control, dataFolder }: Pick<PlaceFacts, 'control' | 'dataFolder'>,
): boolean => control === '' && dataFolder === undefined
