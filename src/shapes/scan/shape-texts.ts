// The text around the holes of known shapes, piece after piece, in WebAssembly memory. A circular
// log: new entries overwrite the oldest.

import { SHAPES_BYTES } from '../../base/limits.ts'
import type { JobHoles } from '../job-holes.ts'
import type { JobText } from './job-text.ts'

/** Stores and compares them. */
export class ShapeTexts {
  readonly #text: JobText
  /** Bytes ever written, including those skipped at the memory's end. */
  #position = 0

  constructor(text: JobText) {
    this.#text = text
  }

  /**
   * Stores the text around the holes: SHAPES_BYTES at most.
   * @returns its position, for isSame().
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

  /** Whether the same text is still stored at a position. The lengths of its pieces must match. */
  isSame(position: number, holes: JobHoles): boolean {
    if (this.#position > position + SHAPES_BYTES) return false
    const { functions, keptAt, length } = this.#text
    const kept = keptAt + position % SHAPES_BYTES
    return functions.isAround(kept, holes.firstTo, holes.secondFrom, holes.secondTo,
      holes.thirdFrom, length) === 1
  }
}
