// The file that a shard appends its batches to: one write at a time, by the system's own threads.
// Thread: shard. Memory: a file descriptor or two; the batch being written is the caller's.
// Never: reads, waits, or removes a file: the compactor of the journal takes what is complete.
// A batch that could be written in part only is written again at the same place.
// A file that was removed takes writes as before. So every JOURNAL_LOOK_MS a look is begun whether
// tail and store are still under their names, and while they are not, nothing is appended.

import {
  close, closeSync, existsSync, fdatasync, fdatasyncSync, fsync, ftruncate, open, openSync,
  readdirSync, write,
} from 'node:fs'
import path from 'node:path'
import type { Clock } from '../base/clock.ts'
import { type Micros, type Millis, msToUs } from '../base/units.ts'
import { JOURNAL_LOOK_MS, JOURNAL_TAIL_BYTES_MAX } from '../memory/limits.ts'
import { ExtentFile } from './extent-file.ts'
import type { JournalSink } from './journal.ts'
import {
  type GoneError, type NamedFile, findGone, goneError, openedFile, presentFile,
} from './named-files.ts'
import { STORE_FILE, STORE_FOLDER, tailName, tailNumber } from './tail-names.ts'

/** Where and how a shard's batches are written. */
export interface TailFileOptions {
  readonly directory: string
  /** Whether a batch counts as appended only when it is on the disk. */
  readonly always: boolean
  /** How often, else, what has been appended is put on the disk. */
  readonly intervalMs: Millis
  readonly clock: Clock
  /** The shard's words about its journal. */
  readonly words: Float64Array
  /** Told when writing begins to fail, and with null when it succeeds again. */
  readonly onTrouble: (error: Error | null) => void
}

type Done = (error: Error | null) => void

const FILE_MODE = 0o600

/** The newest tail of one shard; begins a file of its own, behind all that are there. */
export class TailFile implements JournalSink {
  readonly #options: TailFileOptions
  /** For the entries of the files in it; undefined when it was gone from the beginning. */
  readonly #folder: number | undefined
  readonly #store: NamedFile | undefined
  readonly #extent: ExtentFile | undefined
  #tail = 0
  #file: number | undefined
  #length = 0
  /** The newest file whose entry in the folder is on the disk: it is brought there but once. */
  #namedTail = -1
  #isWriting = false
  /** Since when something is appended that no sync has begun for; Infinity while nothing is. */
  #unsyncedUs = Infinity
  /** The same of what is being synced. */
  #syncingUs = Infinity
  #syncBegunUs = -Infinity
  #onIdle: () => void = () => {}
  #isTroubled = false
  #present: NamedFile | undefined
  /** Why nothing can be appended: tail, store or directory is gone. Null while all is there. */
  #gone: GoneError | null = null
  #isLooking = false
  #lookUs = -Infinity

  /**
   * Makes the file with the first batch. A directory that is not there, or no more, is never made:
   * what is written into a new one would follow nothing.
   */
  constructor(options: TailFileOptions) {
    this.#options = options
    if (!existsSync(options.directory)) {
      this.#gone = goneError(options.directory)
      return
    }
    this.#folder = openSync(options.directory, 'r')
    this.#extent = new ExtentFile(options.directory, options.words)
    this.#store = presentFile(path.join(options.directory, STORE_FOLDER, STORE_FILE))
    for (const name of readdirSync(options.directory)) {
      this.#tail = Math.max(this.#tail, tailNumber(name) ?? 0)
    }
    this.#syncPredecessor()
  }

  get syncedUs(): number {
    return Math.min(this.#unsyncedUs, this.#syncingUs)
  }

  get isLost(): boolean {
    return this.#gone !== null
  }

  append(bytes: Buffer, done: Done): void {
    if (this.#gone !== null) return this.#refuse(this.#gone, done)
    const isFull = this.#length >= JOURNAL_TAIL_BYTES_MAX
    if (this.#file === undefined || isFull) {
      const problem = this.#next()
      if (problem !== null) return this.#refuse(problem, done)
    }
    const file = this.#file as number
    const end = (error: Error | null): void => {
      this.#isWriting = false
      this.#noteTrouble(error)
      if (error === null) this.#length += bytes.length
      done(error)
      this.#tellIdle()
    }
    // What is left of it would be found by the next process, or lie behind a shorter batch.
    const fail = (error: Error): void => ftruncate(file, this.#length, () => end(error))
    this.#isWriting = true
    this.#writeAll(file, bytes, 0, (error) => {
      if (error !== null) return fail(error)
      if (this.#gone !== null) return fail(this.#gone)
      if (this.#options.always) {
        return this.#sync(file, (failure) => failure === null ? end(null) : fail(failure))
      }
      this.#unsyncedUs = Math.min(this.#unsyncedUs, this.#options.clock.nowUs())
      end(null)
    })
  }

  /**
   * Notes how far it goes; puts what was appended on the disk, twice in each interval; looks
   * whether it is there.
   */
  tick(nowUs: Micros): void {
    this.#extent?.tick(this.#tail, nowUs)
    this.#look(nowUs)
    const { intervalMs } = this.#options
    if (this.#unsyncedUs === Infinity || this.#syncingUs !== Infinity) return
    if (nowUs - this.#syncBegunUs < msToUs(intervalMs) / 2) return
    this.#syncBegunUs = nowUs
    this.#syncLater(this.#file as number, () => {})
  }

  async close(): Promise<void> {
    while (this.#isWriting || this.#syncingUs !== Infinity) {
      await new Promise<void>((resolve) => { this.#onIdle = resolve })
    }
    if (this.#file !== undefined) {
      fdatasyncSync(this.#file)
      closeSync(this.#file)
    }
    await this.#extent?.close(this.#tail)
    if (this.#folder !== undefined) closeSync(this.#folder)
  }

  #look(nowUs: Micros): void {
    if (this.#folder === undefined || this.#isLooking || nowUs < this.#lookUs) return
    const present = this.#present
    this.#isLooking = true
    this.#lookUs = nowUs + msToUs(JOURNAL_LOOK_MS)
    findGone([present, this.#store].filter((file) => file !== undefined), (gone) => {
      this.#isLooking = false
      // A tail that another has followed may have been taken and removed meanwhile.
      if (present !== this.#present) return
      this.#gone = gone
      if (gone !== null) this.#noteTrouble(gone)
    })
  }

  #refuse(problem: Error, done: Done): void {
    this.#noteTrouble(problem)
    setImmediate(done, problem)
  }

  /** A thread that has died may have left its file half on the disk, and then ours is no use. */
  #syncPredecessor(): void {
    open(path.join(this.#options.directory, tailName(this.#tail)), 'r', (error, file) => {
      if (error === null) fdatasync(file, () => close(file))
    })
  }

  /** Begins the next file; the one before is put on the disk first, and then closed. */
  #next(): Error | null {
    const before = this.#file
    if (before !== undefined && this.#syncingUs !== Infinity) {
      // The file is in use for a moment more; it may well grow a little larger.
      return null
    }
    try {
      const name = path.join(this.#options.directory, tailName(this.#tail + 1))
      this.#file = openSync(name, 'wx', FILE_MODE)
      this.#present = openedFile(name, this.#file)
    } catch (error) {
      return error as Error
    }
    this.#tail++
    this.#length = 0
    if (before === undefined) return null
    if (this.#unsyncedUs === Infinity) close(before)
    else this.#syncLater(before, () => close(before))
    return null
  }

  #writeAll(file: number, bytes: Buffer, start: number, done: Done): void {
    write(file, bytes, start, bytes.length - start, this.#length + start, (error, written) => {
      if (error !== null) return done(error)
      if (start + written === bytes.length) return done(null)
      this.#writeAll(file, bytes, start + written, done)
    })
  }

  #syncLater(file: number, then: () => void): void {
    this.#syncingUs = this.#unsyncedUs
    this.#unsyncedUs = Infinity
    this.#sync(file, (error) => {
      if (error !== null) this.#unsyncedUs = Math.min(this.#unsyncedUs, this.#syncingUs)
      this.#syncingUs = Infinity
      then()
      this.#tellIdle()
    })
  }

  #sync(file: number, done: Done): void {
    fdatasync(file, (error) => {
      const tail = this.#tail
      const folder = this.#folder
      if (error !== null || folder === undefined || this.#namedTail === tail) return done(error)
      fsync(folder, (failure) => {
        if (failure === null) this.#namedTail = tail
        done(failure)
      })
    })
  }

  #noteTrouble(error: Error | null): void {
    const isTroubled = error !== null
    if (isTroubled !== this.#isTroubled) this.#options.onTrouble(error)
    this.#isTroubled = isTroubled
  }

  #tellIdle(): void {
    if (this.#isWriting || this.#syncingUs !== Infinity) return
    const tell = this.#onIdle
    this.#onIdle = () => {}
    tell()
  }
}
