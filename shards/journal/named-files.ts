// Whether files that are being written are still what their names stand for: a file that has been
// removed takes writes as before, and nobody will ever find them.
// Thread: any. Memory: a name and a number for each file.
// Never: waits, or opens a file.

import { fstatSync, stat, statSync } from 'node:fs'

/** A file under the name that it was made with. */
export interface NamedFile {
  readonly name: string
  readonly inode: number
}

/** Why nothing more is written to a file. */
export class GoneError extends Error {
  override name = 'GoneError'

  constructor(name: string) {
    super(`${name} has been removed or replaced: what was written since the last start may be ` +
      'lost; put the folder back, or stop and start on another')
  }
}

export const goneError = (name: string): GoneError => new GoneError(name)

/** What the system says of a name that stands for nothing. */
const NOTHING: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR'])

/** The open file, under the name that it was opened by. */
export const openedFile = (name: string, descriptor: number): NamedFile =>
  ({ name, inode: fstatSync(descriptor).ino })

/** What has this name now; undefined when nothing has. */
export function presentFile(name: string): NamedFile | undefined {
  const found = statSync(name, { throwIfNoEntry: false })
  return found === undefined ? undefined : { name, inode: found.ino }
}

/** Calls back with null, or of the first file whose name stands for nothing or for another. */
export function findGone(
  files: readonly NamedFile[], done: (gone: GoneError | null) => void, at = 0,
): void {
  const file = files[at]
  if (file === undefined) return done(null)
  stat(file.name, (error, found) => {
    // Of a name that cannot be looked up for another reason nothing is known.
    const isGone = error === null ? found.ino !== file.inode : NOTHING.has(error.code)
    if (isGone) done(goneError(file.name))
    else findGone(files, done, at + 1)
  })
}
