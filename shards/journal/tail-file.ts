// The file to which a shard appends its batches: one asynchronous write at a time.
// Thread: shard. Memory: a file descriptor or two; the batch being written is the caller's.
// Never: reads, waits, or removes a file: the compactor of the journal takes complete ones.
// A batch that was written only in part is written again at the same offset.
// A removed file still accepts writes. So every JOURNAL_LOOK_MS tail and store are checked to be
// still under their names, and while they are not, nothing is appended.

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
  /** Whether a batch counts as appended only once it is synced. */
  readonly always: boolean
  /** Otherwise, the longest time until appended batches are synced. */
  readonly intervalMs: Millis
  readonly clock: Clock
  /** The shard's words about its journal. */
  readonly words: Float64Array
  /** Called when writes begin to fail, and with null when they succeed again. */
  readonly onTrouble: (error: Error | null) => void
}

type Done = (error: Error | null) => void

const FILE_MODE = 0o600

/** The newest tail of one shard; starts a new file, numbered after all existing ones. */
export class TailFile implements JournalSink {
  readonly #options: TailFileOptions
  /** The directory, to sync its entries; undefined if it was missing from the beginning. */
  readonly #folder: number | undefined
  readonly #store: NamedFile | undefined
  readonly #extent: ExtentFile | undefined
  #tail = 0
  #file: number | undefined
  #length = 0
  /** The newest tail whose directory entry is synced, which is necessary only once. */
  #namedTail = -1
  #isWriting = false
  /** Since when there are batches for which no sync has begun; Infinity if there are none. */
  #unsyncedUs = Infinity
  /** The same for the batches being synced. */
  #syncingUs = Infinity
  #syncBegunUs = -Infinity
  #onIdle: () => void = () => {}
  #isTroubled = false
  #present: NamedFile | undefined
  /** Why nothing can be appended: tail, store or directory is missing. Null if all are present. */
  #gone: GoneError | null = null
  #isLooking = false
  #lookUs = -Infinity

  /**
   * Creates the file with the first batch. A missing directory is never created: batches in a new
   * one would have no predecessors.
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
      this.#notifyIfIdle()
    }
    // The next process could find the partial batch, also after a shorter one written over it.
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
   * Records the extent; syncs appended batches, twice in each interval; checks that the files are
   * present.
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
      // A tail that is no longer the newest may have been compacted and removed meanwhile.
      if (present !== this.#present) return
      this.#gone = gone
      if (gone !== null) this.#noteTrouble(gone)
    })
  }

  #refuse(problem: Error, done: Done): void {
    this.#noteTrouble(problem)
    setImmediate(done, problem)
  }

  /** Syncs a crashed predecessor's file: without all of it, ours could not be used. */
  #syncPredecessor(): void {
    open(path.join(this.#options.directory, tailName(this.#tail)), 'r', (error, file) => {
      if (error === null) fdatasync(file, () => close(file))
    })
  }

  /** Starts the next file; the previous one is synced, and then closed. */
  #next(): Error | null {
    const before = this.#file
    if (before !== undefined && this.#syncingUs !== Infinity) {
      // The current file is still being synced; it may grow a little larger.
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
      this.#notifyIfIdle()
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

  #notifyIfIdle(): void {
    if (this.#isWriting || this.#syncingUs !== Infinity) return
    const notify = this.#onIdle
    this.#onIdle = () => {}
    notify()
  }
}
