// A disk for one shard's journal in virtual time: batches take a while to be written, some fail,
// and a kill leaves the batch in progress complete, partial, or absent.

import assert from 'node:assert/strict'
import type { Prng } from '../../shards/base/prng.ts'
import type { Micros } from '../../shards/base/units.ts'
import { forEachRow, readFrame } from '../../shards/journal/journal-format.ts'
import { JournalImage } from '../../shards/journal/journal-image.ts'
import type { JournalSink } from '../../shards/journal/journal.ts'
import { type ShardViews, allocateShard, attachShard } from '../../shards/memory/layout.ts'
import { compareFacts } from '../support/compare-facts.ts'
import type { VirtualTime } from './virtual-time.ts'

const WRITE_US_MAX = 3000
const FAILURE_CHANCE = 0.02
/** How many failures are the first of a disk that is full for a while. */
const FULL_CHANCE = 0.2
const FULL_US_MAX = 5_000_000
/** How many batches are followed by a comparison of all facts: every change must be in them. */
const COMPARED = 0.1

/** What a disk needs. */
export interface DiskParts {
  readonly views: ShardViews
  readonly time: VirtualTime
  readonly prng: Prng
  /** Whether writes may fail now. */
  readonly mayFail: () => boolean
  /** Called for each failed write. */
  readonly onFailure: () => void
  /** Attempts that have ended so far. */
  readonly ends: () => number
}

interface Write {
  readonly ends: number
  readonly bytes: Buffer
  readonly done: (error: Error | null) => void
  /** Runs in the thread that began it; does nothing if that has crashed. */
  readonly alive: (run: () => void) => void
}

/** One shard's consecutive tails. */
export class JournalDisk {
  readonly #parts: DiskParts
  #tails: Buffer[] = []
  #write: Write | undefined
  #fullUntilUs = 0
  /** Attempts that had ended when the last written batch was made. */
  durableEnds = 0
  /** Memory built from what was written: what a new process would load. */
  #mirror: ShardViews
  #image: JournalImage

  constructor(parts: DiskParts) {
    this.#parts = parts
    this.#mirror = freshViews(parts.views)
    this.#image = new JournalImage(this.#mirror)
  }

  get isIdle(): boolean {
    return this.#write === undefined
  }

  /** A thread's sink; a batch in progress completes even if its thread crashes. */
  sink(alive: (run: () => void) => void): JournalSink {
    return {
      syncedUs: Infinity,
      isLost: false,
      tick: () => {},
      close: async () => {},
      append: (bytes, done) => {
        const { ends, prng, time } = this.#parts
        this.#finish() // of a thread that has crashed since
        const write = { bytes: Buffer.from(bytes), done, alive, ends: ends() }
        this.#write = write
        applyBatch(this.#image, write.bytes)
        if (prng.chance(COMPARED)) compareFacts(this.#parts.views, this.#mirror)
        time.after(1 + prng.below(WRITE_US_MAX), () => {
          if (this.#write === write) this.#finish()
        })
      },
    }
  }

  /** The process is killed: the batch in progress may be there, or a part of it. */
  cut(): void {
    const { prng } = this.#parts
    const write = this.#write
    this.#write = undefined
    if (write === undefined || prng.chance(0.4)) return
    const part = prng.chance(0.5) ? write.bytes.length : prng.below(write.bytes.length)
    this.#tails.push(write.bytes.subarray(0, part))
    if (part === write.bytes.length) this.durableEnds = write.ends
  }

  /** Loads everything complete into fresh memory, as of that time. */
  load(views: ShardViews, nowUs: Micros): void {
    const image = new JournalImage(views)
    for (const tail of this.#tails) applyBatch(image, tail)
    // Later threads write behind the complete part; the incomplete rest is gone.
    this.#tails = this.#tails.filter((tail) => isWhole(tail))
    this.#mirror = freshViews(views)
    this.#image = new JournalImage(this.#mirror)
    for (const tail of this.#tails) applyBatch(this.#image, tail)
    image.finish(0, nowUs)
    this.#image.finish(0, nowUs)
  }

  #finish(): void {
    const { mayFail, onFailure } = this.#parts
    const write = this.#write
    this.#write = undefined
    if (write === undefined) return
    if (mayFail() && this.#fails()) {
      onFailure()
      write.alive(() => write.done(new Error('the disk is full')))
      return
    }
    this.#tails.push(write.bytes)
    this.durableEnds = write.ends
    write.alive(() => write.done(null))
  }

  #fails(): boolean {
    const { prng, time } = this.#parts
    if (time.nowUs() < this.#fullUntilUs) return true
    if (!prng.chance(FAILURE_CHANCE)) return false
    if (prng.chance(FULL_CHANCE)) this.#fullUntilUs = time.nowUs() + prng.below(FULL_US_MAX)
    return true
  }
}

const freshViews = ({ limits }: ShardViews): ShardViews =>
  attachShard(allocateShard(limits), limits)

function isWhole(tail: Buffer): boolean {
  for (let at = 0; ;) {
    const frame = readFrame(tail, at)
    if (frame === undefined) return false
    if (frame.isLast) return true
    at = frame.end
  }
}

function applyBatch(image: JournalImage, tail: Buffer): void {
  if (!isWhole(tail)) return
  for (let at = 0; at < tail.length;) {
    const frame = readFrame(tail, at)
    assert.ok(frame !== undefined)
    forEachRow(tail, frame, (table, key1, key2, bytes, start, end) => {
      assert.equal(image.apply(table, key1, key2, bytes, start, end), undefined)
    })
    at = frame.end
  }
}
