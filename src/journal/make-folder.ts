// A folder with those above it that are missing. Not by Node's own recursive mkdir(), which tries
// again for ever where a parent that is there answers that it is not, as /proc does.

import { existsSync, mkdirSync, statSync } from 'node:fs'
import path from 'node:path'

/** The system's error when it cannot be made. @param mode of all that are made. */
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
