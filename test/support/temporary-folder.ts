// A folder for one test, removed after it.

import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Cleanup } from './server.ts'

/** Creates an empty folder and returns its path. */
export const temporaryFolder = (t: Cleanup): string => folderIn(os.tmpdir(), t)

/** The same in a memory file system, if possible: fsync costs nothing there. */
export const quickFolder = (t: Cleanup): string => folderIn(quickPlace(), t)

function quickPlace(): string {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return '/dev/shm'
  } catch {
    return os.tmpdir()
  }
}

function folderIn(place: string, t: Cleanup): string {
  const folder = mkdtempSync(path.join(place, 'sluice-files-'))
  t.after(async () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
