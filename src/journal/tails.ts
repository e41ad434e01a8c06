// Merges a shard's tails into its store: all of them at a start, all but the newest later. A tail
// is removed only when all of it is durable in the store, so a crash in between is harmless: what
// is in both is skipped.
//
// The newest tail's name always stays, if only as an empty file: the next one is named after it,
// and the store requires that names are never reused. The extent file shows whether the end is
// missing.

import {
  closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync, readdirSync, statSync,
  unlinkSync,
} from 'node:fs'
import path from 'node:path'
import { type Extent, readExtent, writeExtent } from '../../shards/journal/extent-file.ts'
import { readFrame } from '../../shards/journal/journal-format.ts'
import { EXTENT_FILE, tailName, tailNumber } from '../../shards/journal/tail-names.ts'
import type { Dropped } from './dropped.ts'
import { RowChanges } from './row-changes.ts'
import type { JournalStore, StoreState } from './store.ts'
import { type TailEnd, TailReader } from './tail-reader.ts'

/** The result of merging tails. */
export type Taken =
  | { readonly ok: true; readonly state: StoreState; readonly dropped: Dropped | null }
  | { readonly ok: false; readonly problem: string }

/** What follows the last complete batch. */
interface Rest {
  readonly batches: number
  readonly bytes: number
  /** Count of new jobs up to its end; undefined where it is not known. */
  readonly accepted: number | undefined
  readonly file: string
}

const FILE_MODE = 0o600
/** Alignment of frames. */
const FRAME_ALIGN_BYTES = 8

/** The tails of one shard. */
export class Tails {
  readonly #directory: string
  readonly #store: JournalStore

  constructor(directory: string, store: JournalStore) {
    this.#directory = directory
    this.#store = store
  }

  /** Numbers of the existing tails, in order; throws the system's error. */
  list(): number[] {
    return readdirSync(this.#directory).map(tailNumber)
      .filter((tail) => tail !== undefined).sort((one, other) => one - other)
  }

  /** Bytes of all tails; throws the system's error. */
  get bytes(): number {
    let bytes = 0
    for (const tail of this.list()) bytes += statSync(this.#fileOf(tail)).size
    return bytes
  }

  /**
   * Merges all tails; the shard must not be writing. @param hasStopped the machine may have stopped
   * since they were written: then their ends may be missing, otherwise that is an error.
   * @param progress receives the bytes of each piece.
   */
  takeAll(state: StoreState, hasStopped: boolean, progress: (bytes: number) => void): Taken {
    const tails = this.list()
    const extent = readExtent(this.#directory)
    let present = state
    let rest: Rest | null = null
    for (const [index, tail] of tails.entries()) {
      const { end, state: after, tornAt } = this.#take(tail, present, progress)
      if (after !== present) rest = null
      present = after
      if (end.kind === 'end') {
        if (end.tornBytes > 0) rest = this.#torn(tail, end.tornBytes, end.tornAccepted)
        continue
      }
      const isExcused = hasStopped && (end.kind === 'gap' || end.isHole)
      if (!isExcused) return { ok: false, problem: this.#explain(tail, end, present, tails) }
      rest = this.#drop(tails.slice(index), tornAt, present.sequence)
      break
    }
    if (extent === null) {
      if (!hasStopped) return { ok: false, problem: this.#explainDamage(present) }
    } else if (extent !== undefined && extent.sequence > present.sequence) {
      if (!hasStopped) return { ok: false, problem: this.#explainEnd(extent, present) }
      rest = missing(extent, present, rest ?? this.#torn(extent.tail, 0, undefined))
    }
    const newest = Math.max(state.tail, tails.at(-1) ?? 0)
    this.#renew({ ...present, tail: newest })
    return {
      ok: true, state: { ...present, tail: newest },
      dropped: rest === null ? null : describe(rest, present, hasStopped),
    }
  }

  /** Everything is in the store: starts a new tail after it. */
  #renew(state: StoreState): void {
    this.#store.commit(state, () => {})
    for (const tail of this.list()) if (tail < state.tail) unlinkSync(this.#fileOf(tail))
    writeExtent(this.#directory, state)
    this.#leaveName(state.tail)
  }

  /**
   * Merges the oldest tail, unless it is also the newest. Undefined when there is nothing to do.
   * Throws the error of lmdb or the system; then it can be tried again.
   */
  takeOldest(state: StoreState): Taken | undefined {
    const tails = this.list()
    const [tail] = tails
    if (tail === undefined || tails.length < 2) return undefined
    const { end, state: after } = this.#take(tail, state, () => {})
    if (end.kind !== 'end') {
      return { ok: false, problem: this.#explain(tail, end, after, tails) }
    }
    unlinkSync(this.#fileOf(tail))
    return { ok: true, state: after, dropped: null }
  }

  #take(tail: number, before: StoreState, progress: (bytes: number) => void):
    { end: TailEnd; state: StoreState; tornAt: number } {
    if (tail < before.tail) return { end: ENDED, state: before, tornAt: 0 }
    const reader = new TailReader(this.#fileOf(tail), before.sequence, tail === before.tail)
    try {
      let state: StoreState = before
      for (;;) {
        const from = reader.position
        const part = reader.next()
        progress(reader.position - from)
        if (part.kind !== 'piece') return { end: part, state, tornAt: reader.position }
        const changes = new RowChanges(part.bytes, part.frames)
        state = { ...state, tail, sequence: part.sequence, accepted: part.accepted }
        this.#store.commit(state, () => changes.putInto(this.#store))
      }
    } finally {
      reader.close()
    }
  }

  #torn(tail: number, bytes: number, accepted: number | undefined): Rest {
    return { batches: 0, bytes, accepted, file: this.#fileOf(tail) }
  }

  /** Empties the tails behind a gap, the last one first: the remains must never look complete. */
  #drop(tails: readonly number[], tornAt: number, sequence: number): Rest {
    const [first] = tails
    let batches = 0
    let bytes = 0
    let accepted = 0
    for (const tail of tails.toReversed()) {
      const file = this.#fileOf(tail)
      bytes += statSync(file).size - (tail === first ? tornAt : 0)
      const found = countBatches(file, sequence)
      batches += found.batches
      accepted = Math.max(accepted, found.accepted)
      truncate(file, tail === first ? tornAt : 0)
    }
    return { batches, bytes, accepted, file: this.#fileOf(first ?? 0) }
  }

  #leaveName(tail: number): void {
    truncate(this.#fileOf(tail), 0)
    const folder = openSync(this.#directory, 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
  }

  #explain(
    tail: number, end: Exclude<TailEnd, { kind: 'end' }>, { sequence }: StoreState,
    tails: readonly number[],
  ): string {
    const file = this.#fileOf(tail)
    const found = end.kind === 'gap'
      ? `begins with batch ${end.sequence}, where ${sequence + 1} should come`
      : `is damaged at byte ${end.at}: there is no whole batch, though there are some behind it`
    const later = tails.filter((other) => other > tail).length
    const others = later === 0 ? '' : `, the ${later} later tails beside it`
    return `${file} ${found}. ` + adviseOn(`that file${others} and ${EXTENT_FILE}`, sequence)
  }

  /** The tails are intact as far as they go, but more had been written. */
  #explainEnd({ accepted, sequence, tail }: Extent, present: StoreState): string {
    const file = this.#fileOf(tail)
    const found = existsSync(file) ? `ends with batch ${present.sequence}` : 'is missing'
    return `${file} ${found}, and batch ${sequence} had been written (missing batches: ` +
      `${sequence - present.sequence}; new jobs in them: ${accepted - present.accepted}). ` +
      adviseOn(path.join(this.#directory, EXTENT_FILE), present.sequence)
  }

  /** The extent cannot be read, so it is not known whether the end of the tails is missing. */
  #explainDamage({ sequence }: StoreState): string {
    const file = path.join(this.#directory, EXTENT_FILE)
    return `${file} is damaged, so that nothing tells whether batches behind ${sequence} ` +
      `are missing. ${adviseOn(file, sequence)}`
  }

  #fileOf(tail: number): string {
    return path.join(this.#directory, tailName(tail))
  }
}

const ENDED: TailEnd = { kind: 'end', tornBytes: 0, tornAccepted: undefined }

const adviseOn = (files: string, sequence: number): string =>
  `Restore the directory from a copy; or remove ${files}, and what the shard's batches from ` +
  `${sequence + 1} on have said is lost`

/** The rest that is present, and what is known to have followed it. */
const missing = (extent: Extent, { sequence }: StoreState, rest: Rest): Rest => ({
  ...rest, batches: Math.max(rest.batches, extent.sequence - sequence),
  accepted: Math.max(rest.accepted ?? 0, extent.accepted),
})

const describe = (
  { accepted, batches, bytes, file }: Rest, present: StoreState, hasStopped: boolean,
): Dropped => ({
  batches, bytes, file, hasStopped,
  jobs: accepted === undefined ? null : Math.max(0, accepted - present.accepted),
})

/** Complete batches later than `sequence` at any offset in the file, and the jobs up to them. */
function countBatches(file: string, sequence: number): { batches: number; accepted: number } {
  const bytes = readFileSync(file)
  let batches = 0
  let accepted = 0
  for (let at = 0; at < bytes.length;) {
    const frame = readFrame(bytes, at)
    if (frame?.isLast === true && frame.sequence > sequence) {
      batches++
      accepted = Math.max(accepted, frame.accepted)
    }
    at = frame?.end ?? at + FRAME_ALIGN_BYTES
  }
  return { batches, accepted }
}

/** Creates the file if it does not exist. */
function truncate(file: string, bytes: number): void {
  const descriptor = openSync(file, 'a', FILE_MODE)
  try {
    ftruncateSync(descriptor, bytes)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}
