// A copy of the project's code that a test may change while a server runs from it.

import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const ROOT = path.resolve(import.meta.dirname, '../..')
/** The files that the program needs; its packages are those of the project. */
const PARTS = ['src', 'shards', 'bench', 'package.json'] as const

/** One copy. */
export class ProjectCopy {
  readonly root: string

  /** @param t the test at whose end it is removed. */
  constructor(t: { after(run: () => void): void }) {
    this.root = mkdtempSync(path.join(os.tmpdir(), 'sluice-copy-'))
    t.after(() => rmSync(this.root, { recursive: true, force: true }))
    for (const part of PARTS) {
      cpSync(path.join(ROOT, part), path.join(this.root, part), { recursive: true })
    }
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(this.root, 'node_modules'))
  }

  /** Replaces a text that occurs once in a file; returns a function that undoes it. */
  edit(file: string, before: string, after: string): () => void {
    const place = path.join(this.root, file)
    const text = readFileSync(place, 'utf8')
    const [head, tail, ...more] = text.split(before)
    if (tail === undefined || more.length > 0) throw new Error(`${file} has not one "${before}"`)
    writeFileSync(place, `${head}${after}${tail}`)
    return () => writeFileSync(place, text)
  }
}
