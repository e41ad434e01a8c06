// Jobs that differ from one seen before only in key and body need no parsing: their bytes around
// the two are compared, and what was worked out then is used again.
//
// Why that is sound. A shape is three pieces of a text, A key B body C, that was parsed in full. It
// is learnt only if the same text with two fresh random texts in the holes parses to a job with
// these as its key and body. So in A … B … C the holes are where key and body are read from, and
// what is in a hole cannot change the meaning of the rest, as long as it is a string's content,
// which the scanner makes sure of. A text whose pieces equal A, B and C byte for byte hence means
// the same job but for the two.

import { isUtf8 } from 'node:buffer'
import { IDEMPOTENT_KEY_BYTES_MAX, SHAPE_BYTES_MAX } from '../shards/limits.ts'
import { isPlainObject } from './http/job-headers.ts'
import { parseBody } from './http/parse-body.ts'
import type { ValidJob } from './http/validate.ts'
import type { JobHoles } from './job-holes.ts'
import type { JobIdSource } from './job-id.ts'
import type { Outline } from './outline.ts'
import type { JobText } from './scan/job-text.ts'
import { ShapeStore } from './shape-store.ts'
import { copySpan, isSameSpan, wordsFor } from './spans.ts'

/** A text for a hole, as the format writes it, and what it means. */
export interface Probe {
  readonly written: Uint8Array
  readonly meant: string
}

/** Probes for JSON, of 64 random bits each. */
export function makeProbes(ids: JobIdSource): readonly [Probe, Probe] {
  const probe = (): Probe => {
    const meant = `${ids.nextWord()}-${ids.nextWord()}`
    return { written: Buffer.from(meant), meant }
  }
  return [probe(), probe()]
}

interface Shape {
  /** Behind its own words it has A, B and C, each from a whole word on. */
  readonly outline: Outline
  /** Bytes of A, B and C. */
  readonly first: number
  readonly second: number
  readonly third: number
  readonly keyFirst: boolean
  readonly hasBody: boolean
}

/** The shapes of the jobs that came by, bounded; the oldest goes first. */
export class Shapes {
  readonly #known = new ShapeStore<Shape>()
  readonly #probes: readonly [Probe, Probe]

  /** @param probes random texts that no caller can guess, for the key and for the body. */
  constructor(probes: readonly [Probe, Probe]) {
    this.#probes = probes
  }

  /** The outline of a job whose holes have been found, if its shape is known. */
  match(text: JobText, holes: JobHoles): Outline | undefined {
    const shape = this.#known.get(holes.hash)
    if (shape === undefined || !fits(shape, text, holes)) return undefined
    const keyBytes = holes.keyEnd - holes.keyStart
    if (keyBytes === 0 || keyBytes > IDEMPOTENT_KEY_BYTES_MAX) return undefined
    if (!holes.isAscii && !isUtf8(holes.body.subarray(holes.bodyStart, holes.bodyEnd))) {
      return undefined
    }
    return shape.outline
  }

  /** Whether learn() should be asked about a valid job that match() did not know. */
  isWorthLearning(job: ValidJob, text: JobText, holes: JobHoles): boolean {
    if (!this.#known.wasSeen(holes.hash)) return false
    // A Content-Length among the job's headers ties them to the body.
    if (job.headers.contentLength >= 0 || (job.body !== null) !== holes.hasBody) return false
    if (text.length - holeBytes(holes) > SHAPE_BYTES_MAX) return false
    return this.#known.mayLearn()
  }

  /** Keeps a shape, if a parse bears out that the holes are what they seem. */
  learn(text: JobText, holes: JobHoles, outline: Outline): void {
    if (outline.templateBytes > SHAPE_BYTES_MAX || !this.#isBorneOut(text, holes)) return
    const { firstTo, secondFrom, secondTo, thirdFrom } = holes
    const second = secondTo - secondFrom
    const third = text.length - thirdFrom
    const own = outline.withRoom(wordsFor(firstTo) + wordsFor(second) + wordsFor(third))
    const at = own.record.length
    copySpan(text.view, 0, firstTo, own.words, at)
    copySpan(text.view, secondFrom, secondTo, own.words, at + wordsFor(firstTo))
    copySpan(text.view, thirdFrom, text.length, own.words,
      at + wordsFor(firstTo) + wordsFor(second))
    this.#known.set(holes.hash, {
      outline: own, first: firstTo, second, third,
      keyFirst: holes.isKeyFirst, hasBody: holes.hasBody,
    })
  }

  /** What is wrong with a shape's outline by now: an origin has another slot. */
  forget(holes: JobHoles): void {
    this.#known.delete(holes.hash)
  }

  #isBorneOut(text: JobText, holes: JobHoles): boolean {
    const [key, body] = this.#probes
    const bytes = text.whole()
    const first = bytes.subarray(0, holes.firstTo)
    const second = bytes.subarray(holes.secondFrom, holes.secondTo)
    const third = bytes.subarray(holes.thirdFrom)
    const [one, two] = holes.isKeyFirst ? [key, body] : [body, key]
    const probed = holes.hasBody
      ? [first, one.written, second, two.written, third]
      : [first, key.written, second]
    const parsed = parseBody(Buffer.concat(probed), 'json')
    const value = parsed.ok ? parsed.value : undefined
    return isPlainObject(value) && value['idempotent_key'] === key.meant &&
      (!holes.hasBody || value['body'] === body.meant)
  }
}

const holeBytes = (holes: JobHoles): number =>
  holes.keyTo - holes.keyFrom + (holes.hasBody ? holes.bodyTo - holes.bodyFrom : 0)

function fits(shape: Shape, { length, view }: JobText, holes: JobHoles): boolean {
  const { firstTo, secondFrom, secondTo, thirdFrom } = holes
  const { first, second, third } = shape
  if (first !== firstTo || second !== secondTo - secondFrom) return false
  if (third !== length - thirdFrom || shape.hasBody !== holes.hasBody) return false
  if (shape.keyFirst !== holes.isKeyFirst) return false
  const { record, words } = shape.outline
  const firstAt = record.length
  const secondAt = firstAt + wordsFor(first)
  return isSameSpan(words, firstAt, view, 0, firstTo) &&
    isSameSpan(words, secondAt, view, secondFrom, secondTo) &&
    isSameSpan(words, secondAt + wordsFor(second), view, thirdFrom, length)
}
