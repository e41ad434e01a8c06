// Checks that open files are still under their names: a removed file still accepts writes, which
// can never be read back.
// Thread: any. Memory: a name and an inode number for each file.
// Never: waits, or opens a file.

import { fstatSync, stat, statSync } from 'node:fs'

/** A file and the name that it was created with. */
export interface NamedFile {
  readonly name: string
  readonly inode: number
}

/** The error when a file is no longer under its name, so that nothing more is written to it. */
export class GoneError extends Error {
  override name = 'GoneError'

  constructor(name: string) {
    super(`${name} has been removed or replaced: what was written since the last start may be ` +
      'lost; put the folder back, or stop and start on another')
  }
}

export const goneError = (name: string): GoneError => new GoneError(name)

/** The system's error codes for a name that does not exist. */
const NOTHING: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR'])

/** An open file, with the name by which it was opened. */
export const openedFile = (name: string, descriptor: number): NamedFile =>
  ({ name, inode: fstatSync(descriptor).ino })

/** The file that has this name now; undefined if none has. */
export function presentFile(name: string): NamedFile | undefined {
  const found = statSync(name, { throwIfNoEntry: false })
  return found === undefined ? undefined : { name, inode: found.ino }
}

/** Calls back with null, or with the error of the first file that is missing or replaced. */
export function findGone(
  files: readonly NamedFile[], done: (gone: GoneError | null) => void, at = 0,
): void {
  const file = files[at]
  if (file === undefined) return done(null)
  stat(file.name, (error, found) => {
    // Any other error says nothing about the file.
    const isGone = error === null ? found.ino !== file.inode : NOTHING.has(error.code)
    if (isGone) done(goneError(file.name))
    else findGone(files, done, at + 1)
  })
}
