// A bounded store of shapes by the hash of what makes them, and the rule by which one is worth a
// place in it.

import { SHAPES_LEARNT_ONE_IN, SHAPES_MAX, SHAPES_SEEN_COUNT } from '../base/limits.ts'

/** Shapes that keep coming; the oldest goes first. */
export class ShapeStore<Shape> {
  readonly #known = new Map<number, Shape>()
  /** Direct-mapped by the hash: a shape is learnt when it comes by for the second time. */
  readonly #seen = new Int32Array(SHAPES_SEEN_COUNT)
  #candidates = 0

  get(hash: number): Shape | undefined {
    return this.#known.get(hash)
  }

  /** Notes the hash; true when it was here lately, though others may have come in between. */
  wasSeen(hash: number): boolean {
    const place = hash & (SHAPES_SEEN_COUNT - 1)
    if (this.#seen[place] === hash) return true
    this.#seen[place] = hash
    return false
  }

  /** With more callers than shapes, learning each would cost more than it brings. */
  mayLearn(): boolean {
    return this.#known.size < SHAPES_MAX || ++this.#candidates % SHAPES_LEARNT_ONE_IN === 0
  }

  set(hash: number, shape: Shape): void {
    this.#known.delete(hash)
    if (this.#known.size >= SHAPES_MAX) {
      for (const oldest of this.#known.keys()) {
        this.#known.delete(oldest)
        break
      }
    }
    this.#known.set(hash, shape)
  }

  delete(hash: number): void {
    this.#known.delete(hash)
  }
}
