// Creates a folder and its missing parents. Not with Node's recursive mkdir(), which retries for
// ever where an existing parent reports ENOENT, as /proc does.

import { existsSync, mkdirSync, statSync } from 'node:fs'
import path from 'node:path'

/** Returns the system's error if it cannot be created. @param mode of all created folders. */
export function makeFolder(folder: string, mode: number): Error | undefined {
  const target = path.resolve(folder)
  if (isFolder(target)) return undefined
  const missing = [target]
  for (let at = path.dirname(target); !existsSync(at); at = path.dirname(at)) missing.push(at)
  for (const each of missing.toReversed()) {
    const error = make(each, mode)
    if (error !== undefined) return error
  }
  return undefined
}

function make(folder: string, mode: number): Error | undefined {
  try {
    mkdirSync(folder, mode)
    return undefined
  } catch (error) {
    return isFolder(folder) ? undefined : error as Error // another process may make it, too
  }
}

function isFolder(file: string): boolean {
  try {
    return statSync(file).isDirectory()
  } catch {
    return false
  }
}
