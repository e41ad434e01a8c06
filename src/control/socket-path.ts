// The path under which the system gets a socket file. It is limited to about a hundred bytes; a
// longer path is replaced by one through a descriptor of the file's folder, which is kept open.

import { closeSync, constants, openSync } from 'node:fs'
import path from 'node:path'

/** The size of sun_path in bytes, less its terminating zero. */
export const SOCKET_PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103

/** A path that the system accepts. */
export interface SocketPath {
  /** Valid until close(). */
  readonly path: string
  close(): void
}

const nothing = (): void => {}

/** Undefined when there is no path that is short enough; throws when the folder does not exist. */
export function openSocketPath(file: string): SocketPath | undefined {
  if (Buffer.byteLength(file) <= SOCKET_PATH_BYTES_MAX) return { path: file, close: nothing }
  if (process.platform !== 'linux') return undefined
  const folder = openSync(path.dirname(file), constants.O_RDONLY | constants.O_DIRECTORY)
  const short = `/proc/self/fd/${folder}/${path.basename(file)}`
  if (Buffer.byteLength(short) <= SOCKET_PATH_BYTES_MAX) {
    return { path: short, close: () => closeSync(folder) }
  }
  closeSync(folder)
  return undefined
}

/**
 * Calls back with a path for connecting to the file; with the file's own path if it cannot be
 * shortened, so that connecting reports the error.
 */
export function withSocketPath<T>(file: string, connect: (path: string) => T): T {
  let way: SocketPath | undefined
  try {
    way = openSocketPath(file)
  } catch {
    way = undefined
  }
  try {
    return connect(way?.path ?? file)
  } finally {
    way?.close()
  }
}
