// Writes the lines of the log to a file descriptor that may fail, block or be gone.
//
// Nothing here blocks on it, and nothing ends the process. Lines are written in the background, one
// write at a time; what cannot be written is dropped and counted, and later lines are tried again.
// pino's own destination retries a failed write in a loop that blocks the process.

import {
  constants, closeSync, fstatSync, openSync, write as writeInBackground, writeSync,
} from 'node:fs'
import { type Clock, lookEvery } from '../../shards/base/clock.ts'
import { KIB, MIB, type Micros, msToUs } from '../../shards/base/units.ts'

/** Queued lines, in bytes; beyond it the newest are dropped. */
export const LOG_WAITING_BYTES_MAX = MIB
/** One write, in bytes; a longer line is written alone. */
const WRITE_BYTES_MAX = 64 * KIB
/** After a failed write, lines are dropped for this long before a write is tried again. */
export const LOG_RETRY_MS = 1000
/** The pause before a write to a full pipe is retried. */
const FULL_RETRY_MS = 50
/** How long the last lines of an ending process wait for a reader. */
export const LOG_END_MS_MAX = 1000
/** The owner may write, the group may read. */
const FILE_MODE = 0o640
const FULL = /^E(AGAIN|BUSY)$/
const STDERR = 2

/** The state of the log. */
export interface LogStatus {
  /** Lines that could not be written. */
  readonly dropped: number
  /** The code of the last write's error, `ENOSPC`; null when the last write succeeded. */
  readonly trouble: string | null
}

/** As fs.write(). */
export type WriteLog = (
  fd: number, bytes: Uint8Array, done: (error: NodeJS.ErrnoException | null, count: number) => void,
) => void

/** What a sink needs. */
export interface SinkOptions {
  /** Appended to; standard error when left out. */
  readonly file?: string
  /** The sink's own, since a clock has one wake-up. */
  readonly clock: Clock
  /** A write has succeeded again after so many lines were dropped. */
  readonly onResumed?: (dropped: number) => void
  readonly write?: WriteLog
}

/** Lines on their way to one file or to standard error. */
export class LogSink implements LogStatus {
  dropped = 0
  trouble: string | null = null
  readonly #file: string | undefined
  readonly #clock: Clock
  readonly #onResumed: (dropped: number) => void
  readonly #write: WriteLog
  #fd: number
  readonly #waiting: string[] = []
  #waitingBytes = 0
  /** The bytes that are being written, and how many lines they are. */
  #batch: Uint8Array | undefined
  #batchLines = 0
  /** A write is in progress; false with a batch set: it waits for the pipe to have room. */
  #isWriting = false
  /** Until then lines are dropped. */
  #closedUntilUs = 0
  /** The last write ended within a line. */
  #isTorn = false
  /** Lines that were dropped before the last write that succeeded. */
  #droppedBefore = 0
  #onIdle: () => void = () => {}
  /** The old file, while a write to it is in progress after a reopen. */
  #leftFd: number | undefined

  /** Throws the system's error when the file cannot be opened. */
  constructor({
    clock, file, onResumed = () => {}, write = writeToDescriptor,
  }: SinkOptions) {
    this.#file = file
    this.#clock = clock
    this.#onResumed = onResumed
    this.#write = write
    this.#fd = file === undefined ? openStandardError() : openFile(file)
  }

  /** A whole line, with its line break. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    const isClosed = this.trouble !== null && this.#batch === undefined &&
      this.#clock.nowUs() < this.#closedUntilUs
    if (isClosed || this.#waitingBytes + bytes > LOG_WAITING_BYTES_MAX) {
      this.dropped++
      return
    }
    this.#waiting.push(line)
    this.#waitingBytes += bytes
    this.#next()
  }

  /**
   * Reopens the file, which has been moved away (log rotation); false where there is none. Throws
   * the system's error when it cannot be opened: then the old one stays in use.
   */
  reopen(): boolean {
    if (this.#file === undefined) return false
    const old = this.#fd
    this.#fd = openFile(this.#file)
    this.#closedUntilUs = 0
    this.#isTorn = false
    if (this.#isWriting && this.#leftFd === undefined) this.#leftFd = old
    else closeQuietly(old)
    return true
  }

  /** Writes the queue synchronously, for a process that ends now. A write in progress completes. */
  flush(): void {
    const giveUpUs = this.#clock.nowUs() + msToUs(LOG_END_MS_MAX)
    if (this.#batch !== undefined && !this.#isWriting) this.#flush(this.#batch, giveUpUs)
    const rest = this.#waiting.splice(0).join('')
    this.#waitingBytes = 0
    if (rest !== '') this.#flush(Buffer.from(rest), giveUpUs)
  }

  /** Resolves when all lines are written or dropped, at the latest after LOG_END_MS_MAX. */
  async end(): Promise<void> {
    if (this.#batch === undefined) return
    let stopWaiting = (): void => {}
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
      stopWaiting = lookEvery(LOG_END_MS_MAX, resolve)
    })
    stopWaiting()
    this.#clock.wakeAt(Infinity as Micros, () => {})
  }

  #next(): void {
    if (this.#batch !== undefined) return
    if (this.#waiting.length === 0) return this.#onIdle()
    let bytes = 0
    let lines = 0
    do {
      bytes += Buffer.byteLength(this.#waiting[lines++] as string)
    } while (lines < this.#waiting.length && bytes < WRITE_BYTES_MAX)
    const text = this.#waiting.splice(0, lines).join('')
    this.#waitingBytes -= bytes
    this.#batchLines = lines
    this.#batch = Buffer.from(this.#isTorn ? `\n${text}` : text)
    this.#begin()
  }

  readonly #begin = (): void => {
    if (this.#batch === undefined || this.#isWriting) return
    this.#isWriting = true
    this.#write(this.#fd, this.#batch, (error, count) => this.#written(error, count))
  }

  #written(error: NodeJS.ErrnoException | null, count: number): void {
    this.#isWriting = false
    if (this.#leftFd !== undefined) closeQuietly(this.#leftFd)
    this.#leftFd = undefined
    const batch = this.#batch as Uint8Array
    if (error !== null) return this.#failed(error.code ?? 'EIO')
    this.trouble = null
    this.#isTorn = batch[count - 1] !== LINE_BREAK
    this.#batch = count < batch.length ? batch.subarray(count) : undefined
    if (this.#batch !== undefined) return this.#begin()
    const dropped = this.dropped - this.#droppedBefore
    this.#droppedBefore = this.dropped
    if (dropped > 0) this.#onResumed(dropped)
    this.#next()
  }

  #failed(code: string): void {
    this.trouble = code
    if (FULL.test(code)) {
      const atUs = (this.#clock.nowUs() + msToUs(FULL_RETRY_MS)) as Micros
      return this.#clock.wakeAt(atUs, this.#begin)
    }
    this.#closedUntilUs = this.#clock.nowUs() + msToUs(LOG_RETRY_MS)
    this.#batch = undefined
    this.dropped += this.#batchLines + this.#waiting.splice(0).length
    this.#waitingBytes = 0
    this.#onIdle()
  }

  #flush(bytes: Uint8Array, giveUpUs: number): void {
    for (let at = 0; at < bytes.length;) {
      try {
        at += writeSync(this.#fd, bytes, at)
      } catch (error) {
        const isFull = FULL.test((error as NodeJS.ErrnoException).code ?? '')
        if (!isFull || this.#clock.nowUs() > giveUpUs) return
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_RETRY_MS)
      }
    }
  }
}

const LINE_BREAK = 10

const writeToDescriptor: WriteLog = (fd, bytes, done) => writeInBackground(fd, bytes, done)

const { O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants
const WITHOUT_WAITING = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY

/** It may be a pipe: one without a reader is refused, and a full one does not block. */
const openFile = (file: string): number => openSync(file, WITHOUT_WAITING | O_CREAT, FILE_MODE)

/**
 * Standard error; a pipe or a terminal is reopened as non-blocking, so that a write never blocks,
 * neither here nor in libuv's thread pool. Other processes that share it are not affected. A file
 * is not reopened: it would get a file offset of its own.
 */
function openStandardError(): number {
  try {
    const stat = fstatSync(STDERR)
    if (!stat.isFIFO() && !stat.isCharacterDevice()) return STDERR
    return openSync(`/proc/self/fd/${STDERR}`, WITHOUT_WAITING)
  } catch {
    return STDERR // a socket, another user's pipe, or a system without /proc
  }
}

function closeQuietly(fd: number): void {
  try {
    closeSync(fd)
  } catch {
    // Nothing more is written to it.
  }
}
