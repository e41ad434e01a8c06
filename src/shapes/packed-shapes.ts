// MessagePack jobs that differ from an earlier one only in ref, key and body need no decoding: the
// result for the earlier one is used again.
//
// Why that is sound: MessagePack is read from front to back, and each header gives the length of
// its value. So if the bytes around the three values equal those of a job that was validated in
// full, and each of the three is one whole value of a valid type, then the two jobs differ only in
// these three.

import { isUtf8 } from 'node:buffer'
import { IDEMPOTENT_KEY_BYTES_MAX } from '../../shards/memory/limits.ts'
import { SHAPE_BYTES_MAX } from '../base/limits.ts'
import { copySpan, isAsciiSpan, isSameSpan, wordsFor } from '../base/spans.ts'
import type { ValidJob } from '../job/validate.ts'
import type { Outline } from './outline.ts'
import type { PackedFrame, PackedHoles } from './packed-frame.ts'
import { ShapeStore } from './shape-store.ts'

interface Shape {
  /** Behind its record, its words have the spans around the holes, each word-aligned. */
  readonly outline: Outline
  /** The lengths of the spans. */
  readonly lengths: readonly number[]
  readonly order: number
  readonly caller: number
}

/** The offsets of the spans' starts in PackedHoles.spans. */
const SPANS = [0, 2, 4, 6]

/** The known shapes; bounded. */
export class PackedShapes {
  readonly #known = new ShapeStore<Shape>()

  /** The outline of the job that is open in a frame, if its shape is known. */
  match({ bytes, holes, view }: PackedFrame): Outline | undefined {
    const shape = this.#known.get(holes.hash)
    if (shape === undefined || !fits(shape, view, holes)) return undefined
    const { bodyEnd, bodyStart, keyEnd, keyStart } = holes
    const keyBytes = keyEnd - keyStart
    if (keyBytes === 0 || keyBytes > IDEMPOTENT_KEY_BYTES_MAX) return undefined
    if (!isAsciiSpan(view, keyStart, keyEnd)) return undefined
    const isFine = !holes.isText || isAsciiSpan(view, bodyStart, bodyEnd) ||
      isUtf8(bytes.subarray(bodyStart, bodyEnd))
    return isFine ? shape.outline : undefined
  }

  /** Stores the shape of a job that match() did not know, if it has been seen before. */
  learn({ holes, view }: PackedFrame, job: ValidJob, outline: Outline): void {
    if (!this.#known.wasSeen(holes.hash)) return
    // A Content-Length among the job's headers ties them to the body.
    if (job.headers.contentLength >= 0 || (job.body !== null) !== holes.hasBody) return
    const { spans } = holes
    const lengths = SPANS.map((at) => (spans[at + 1] as number) - (spans[at] as number))
    const bytes = lengths.reduce((sum, length) => sum + length, 0)
    if (bytes > SHAPE_BYTES_MAX || outline.templateBytes > SHAPE_BYTES_MAX) return
    if (!this.#known.mayLearn()) return
    const own = outline.withRoom(lengths.reduce((sum, length) => sum + wordsFor(length), 0))
    let to = own.record.length
    for (const [span, at] of SPANS.entries()) {
      copySpan(view, spans[at] as number, spans[at + 1] as number, own.words, to)
      to += wordsFor(lengths[span] as number)
    }
    this.#known.set(holes.hash, { outline: own, lengths, order: holes.order, caller: holes.caller })
  }

  /** Drops a shape whose outline is out of date: an origin has another slot. */
  forget({ holes }: PackedFrame): void {
    this.#known.delete(holes.hash)
  }
}

function fits(shape: Shape, view: DataView, { caller, order, spans }: PackedHoles): boolean {
  if (shape.order !== order || shape.caller !== caller) return false
  const { record, words } = shape.outline
  let at = record.length
  for (let span = 0; span < 4; span++) {
    const start = spans[2 * span] as number
    const end = spans[2 * span + 1] as number
    const length = shape.lengths[span] as number
    if (length !== end - start || !isSameSpan(words, at, view, start, end)) return false
    at += wordsFor(length)
  }
  return true
}
