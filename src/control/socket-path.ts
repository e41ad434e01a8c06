// The path by which the system is told of a socket file. It has room for some hundred bytes, and a
// file deeper than that is named by way of its folder, which is held open.

import { closeSync, constants, openSync } from 'node:fs'
import path from 'node:path'

/** What the system's structure holds, in bytes, less its zero. */
export const SOCKET_PATH_BYTES_MAX = process.platform === 'linux' ? 107 : 103

/** A way to a socket file. */
export interface SocketPath {
  /** Good until close(). */
  readonly path: string
  close(): void
}

const nothing = (): void => {}

/** Undefined when there is no way that is short enough; throws when the folder is not there. */
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
 * Calls back with the path of a file that is to be connected to; as it is where nobody can be
 * behind it, so that connecting says what is wrong.
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
