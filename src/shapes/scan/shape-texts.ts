// What is around the holes of the texts whose shapes are known, piece behind piece, in the memory
// that WebAssembly works on. A log that goes round: what is new overwrites what is oldest.

import { SHAPES_BYTES } from '../../base/limits.ts'
import type { JobHoles } from '../job-holes.ts'
import type { JobText } from './job-text.ts'

/** Keeps and compares them. */
export class ShapeTexts {
  readonly #text: JobText
  /** Bytes that were ever written, and left free at the memory's end. */
  #position = 0

  constructor(text: JobText) {
    this.#text = text
  }

  /**
   * Keeps what is around the holes of the text: SHAPES_BYTES at most.
   * @returns its position, to be asked for with.
   */
  keep(holes: JobHoles): number {
    const { kept, length } = this.#text
    const bytes = holes.bytesAround(length)
    const room = SHAPES_BYTES - this.#position % SHAPES_BYTES
    if (bytes > room) this.#position += room
    const position = this.#position
    this.#position += bytes
    const text = this.#text.whole()
    let at = position % SHAPES_BYTES
    at += text.copy(kept, at, 0, holes.firstTo)
    at += text.copy(kept, at, holes.secondFrom, holes.secondTo)
    text.copy(kept, at, holes.thirdFrom, length)
    return position
  }

  /** Whether the same is kept at a position still. The lengths of its pieces must be the same. */
  isSame(position: number, holes: JobHoles): boolean {
    if (this.#position > position + SHAPES_BYTES) return false
    const { functions, keptAt, length } = this.#text
    const kept = keptAt + position % SHAPES_BYTES
    return functions.isAround(kept, holes.firstTo, holes.secondFrom, holes.secondTo,
      holes.thirdFrom, length) === 1
  }
}
