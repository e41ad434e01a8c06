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
import type { ValidJob } from './http/validate.ts'
import type { JobHoles } from './job-holes.ts'
import type { JobIdSource } from './job-id.ts'
import type { Outline } from './outline.ts'
import { ShapeStore } from './shape-store.ts'
import { hashSpan, isSameSpan } from './spans.ts'

/** Reads a whole text; undefined for what is none. */
export type Parse = (bytes: Buffer) => unknown

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
  /** A, B and C, one behind the other. */
  readonly pieces: DataView
  readonly piecesBytes: number
  readonly keyFirst: boolean
  readonly hasBody: boolean
  readonly outline: Outline
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
  match(view: DataView, holes: JobHoles): Outline | undefined {
    const shape = this.#known.get(holes.hash)
    if (shape === undefined || !fits(shape, view, holes)) return undefined
    const keyBytes = holes.keyEnd - holes.keyStart
    if (keyBytes === 0 || keyBytes > IDEMPOTENT_KEY_BYTES_MAX) return undefined
    if (!holes.isAscii && !isUtf8(holes.body.subarray(holes.bodyStart, holes.bodyEnd))) {
      return undefined
    }
    return shape.outline
  }

  /** Whether learn() should be asked about a valid job that match() did not know. */
  isWorthLearning(job: ValidJob, bytes: Uint8Array, holes: JobHoles): boolean {
    if (!this.#known.wasSeen(holes.hash)) return false
    // A Content-Length among the job's headers ties them to the body.
    if (job.headers.contentLength >= 0 || (job.body !== null) !== holes.hasBody) return false
    if (bytes.length - holeBytes(holes) > SHAPE_BYTES_MAX) return false
    return this.#known.mayLearn()
  }

  /** Keeps a shape, if a parse bears out that the holes are what they seem. */
  learn(bytes: Buffer, holes: JobHoles, outline: Outline, parse: Parse): void {
    if (outline.template.length > SHAPE_BYTES_MAX || !this.#isBorneOut(bytes, holes, parse)) return
    const [first, second, third] = piecesOf(bytes, holes)
    const pieces = Uint8Array.from(Buffer.concat([first, second, third]))
    this.#known.set(holes.hash, {
      pieces: new DataView(pieces.buffer), piecesBytes: pieces.length,
      keyFirst: isKeyFirst(holes), hasBody: holes.hasBody,
      outline: { ...outline, template: Uint8Array.from(outline.template) },
    })
  }

  /** What is wrong with a shape's outline by now: an origin has another slot. */
  forget(holes: JobHoles): void {
    this.#known.delete(holes.hash)
  }

  #isBorneOut(bytes: Buffer, holes: JobHoles, parse: Parse): boolean {
    const [key, body] = this.#probes
    const [first, second, third] = piecesOf(bytes, holes)
    const [one, two] = isKeyFirst(holes) ? [key, body] : [body, key]
    const text = holes.hasBody
      ? [first, one.written, second, two.written, third]
      : [first, key.written, second]
    const value = parse(Buffer.concat(text))
    return isPlainObject(value) && value['idempotent_key'] === key.meant &&
      (!holes.hasBody || value['body'] === body.meant)
  }
}

const isKeyFirst = (holes: JobHoles): boolean => !holes.hasBody || holes.keyFrom < holes.bodyFrom

const holeBytes = (holes: JobHoles): number =>
  holes.keyTo - holes.keyFrom + (holes.hasBody ? holes.bodyTo - holes.bodyFrom : 0)

/** A, B and C; C is empty when there is no body. */
function piecesOf(bytes: Buffer, holes: JobHoles): readonly [Buffer, Buffer, Buffer] {
  const { keyFrom, keyTo, bodyFrom, bodyTo } = holes
  if (!holes.hasBody) return [bytes.subarray(0, keyFrom), bytes.subarray(keyTo), Buffer.alloc(0)]
  return isKeyFirst(holes)
    ? [bytes.subarray(0, keyFrom), bytes.subarray(keyTo, bodyFrom), bytes.subarray(bodyTo)]
    : [bytes.subarray(0, bodyFrom), bytes.subarray(bodyTo, keyFrom), bytes.subarray(keyTo)]
}

/**
 * Sets the text's length and the hash of all bytes around the holes; false when one hole lies in
 * the other.
 * @param end how long the text is: a view is slow to say so.
 */
export function hashAround(view: DataView, end: number, seed: number, holes: JobHoles): boolean {
  holes.textBytes = end
  const { keyFrom, keyTo, bodyFrom, bodyTo } = holes
  let hash = seed
  if (!holes.hasBody) {
    hash = hashSpan(hashSpan(hash, view, 0, keyFrom), view, keyTo, end)
  } else if (keyTo <= bodyFrom) {
    hash = hashSpan(hashSpan(hash, view, 0, keyFrom), view, keyTo, bodyFrom)
    hash = hashSpan(hash, view, bodyTo, end)
  } else if (bodyTo <= keyFrom) {
    hash = hashSpan(hashSpan(hash, view, 0, bodyFrom), view, bodyTo, keyFrom)
    hash = hashSpan(hash, view, keyTo, end)
  } else {
    return false
  }
  holes.hash = hash
  return true
}

function fits(shape: Shape, view: DataView, holes: JobHoles): boolean {
  const { pieces, piecesBytes } = shape
  const end = holes.textBytes
  if (shape.hasBody !== holes.hasBody || piecesBytes !== end - holeBytes(holes)) return false
  if (shape.keyFirst !== isKeyFirst(holes)) return false
  const { keyFrom, keyTo, bodyFrom, bodyTo } = holes
  if (!holes.hasBody) {
    return isSameSpan(pieces, 0, view, 0, keyFrom) && isSameSpan(pieces, keyFrom, view, keyTo, end)
  }
  const from = shape.keyFirst ? keyFrom : bodyFrom
  const to = shape.keyFirst ? keyTo : bodyTo
  const nextFrom = shape.keyFirst ? bodyFrom : keyFrom
  const nextTo = shape.keyFirst ? bodyTo : keyTo
  return isSameSpan(pieces, 0, view, 0, from) && isSameSpan(pieces, from, view, to, nextFrom) &&
    isSameSpan(pieces, from + nextFrom - to, view, nextTo, end)
}
