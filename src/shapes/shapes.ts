// JSON jobs that differ from an earlier one only in key and body need no parsing: the bytes around
// the two are compared, and the result for the earlier one is used again.
//
// Why that is sound: a shape is three pieces of a text, A key B body C, that was parsed in full. It
// is learnt only if the same text with two fresh random texts in the holes parses to a job with
// these as its key and body. So in A … B … C the holes are where key and body are read from, and
// the content of a hole cannot change the meaning of the rest as long as it is a string's content,
// which the scanner ensures. So a text whose pieces equal A, B and C byte for byte is the same job
// except for key and body.

import { isUtf8 } from 'node:buffer'
import { IDEMPOTENT_KEY_BYTES_MAX } from '../../shards/memory/limits.ts'
import type { JobIdSource } from '../base/job-id.ts'
import { SHAPE_BYTES_MAX } from '../base/limits.ts'
import { isPlainObject } from '../job/job-headers.ts'
import { parseBody } from '../job/parse-body.ts'
import type { ValidJob } from '../job/validate.ts'
import type { JobHoles } from './job-holes.ts'
import type { Outline } from './outline.ts'
import type { JobText } from './scan/job-text.ts'
import { ShapeTexts } from './scan/shape-texts.ts'
import { ShapeStore } from './shape-store.ts'

/** A text for a hole: as encoded, and as decoded. */
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
  readonly outline: Outline
  readonly caller: number
  /** The position of A, B and C in ShapeTexts, and their lengths. */
  readonly position: number
  readonly first: number
  readonly second: number
  readonly third: number
  readonly keyFirst: boolean
  readonly hasBody: boolean
}

/** The known shapes; bounded, the oldest is evicted. */
export class Shapes {
  readonly #known = new ShapeStore<Shape>()
  readonly #text: JobText
  readonly #texts: ShapeTexts
  readonly #probes: readonly [Probe, Probe]

  /**
   * @param text the holes of its text have been found whenever a method is called.
   * @param probes random texts that callers cannot guess, for the key and for the body.
   */
  constructor(text: JobText, probes: readonly [Probe, Probe]) {
    this.#text = text
    this.#texts = new ShapeTexts(text)
    this.#probes = probes
  }

  /** The outline of a job whose holes have been found, if its shape is known. */
  match(holes: JobHoles): Outline | undefined {
    const shape = this.#known.get(holes.hash)
    if (shape === undefined || shape.caller !== holes.caller) return undefined
    if (!hasLengths(shape, this.#text.length, holes)) return undefined
    if (!this.#texts.isSame(shape.position, holes)) return undefined
    const keyBytes = holes.keyEnd - holes.keyStart
    if (keyBytes === 0 || keyBytes > IDEMPOTENT_KEY_BYTES_MAX) return undefined
    if (!holes.isAscii && !isUtf8(holes.body.subarray(holes.bodyStart, holes.bodyEnd))) {
      return undefined
    }
    return shape.outline
  }

  /** Whether learn() should be called for a valid job that match() did not know. */
  isWorthLearning(job: ValidJob, holes: JobHoles): boolean {
    if (!this.#known.wasSeen(holes.hash)) return false
    // A Content-Length among the job's headers ties them to the body.
    if (job.headers.contentLength >= 0 || (job.body !== null) !== holes.hasBody) return false
    if (holes.bytesAround(this.#text.length) > SHAPE_BYTES_MAX) return false
    return this.#known.mayLearn()
  }

  /** Stores a shape, if a parse confirms that the holes are the key and the body. */
  learn(holes: JobHoles, outline: Outline): void {
    if (outline.templateBytes > SHAPE_BYTES_MAX || !this.#isBorneOut(holes)) return
    this.#known.set(holes.hash, {
      outline, caller: holes.caller, position: this.#texts.keep(holes), first: holes.firstTo,
      second: holes.secondTo - holes.secondFrom, third: this.#text.length - holes.thirdFrom,
      keyFirst: holes.isKeyFirst, hasBody: holes.hasBody,
    })
  }

  /** Drops a shape whose outline is out of date: an origin has another slot. */
  forget(holes: JobHoles): void {
    this.#known.delete(holes.hash)
  }

  #isBorneOut(holes: JobHoles): boolean {
    const [key, body] = this.#probes
    const bytes = this.#text.whole()
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

function hasLengths(shape: Shape, textBytes: number, holes: JobHoles): boolean {
  const { firstTo, hasBody, isKeyFirst, secondFrom, secondTo, thirdFrom } = holes
  return shape.first === firstTo && shape.second === secondTo - secondFrom &&
    shape.third === textBytes - thirdFrom && shape.hasBody === hasBody &&
    shape.keyFirst === isKeyFirst
}
