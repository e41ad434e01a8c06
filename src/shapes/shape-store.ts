// A bounded store of shapes by hash, and the rule that decides which shapes are stored.

import { SHAPES_LEARNT_ONE_IN, SHAPES_MAX, SHAPES_SEEN_COUNT } from '../base/limits.ts'

/** Shapes that recur; the oldest is evicted. */
export class ShapeStore<Shape> {
  readonly #known = new Map<number, Shape>()
  /** Direct-mapped by hash: a shape is learnt when it is seen for the second time. */
  readonly #seen = new Int32Array(SHAPES_SEEN_COUNT)
  #candidates = 0

  get(hash: number): Shape | undefined {
    return this.#known.get(hash)
  }

  /** Records the hash; true when it was seen lately and not overwritten since. */
  wasSeen(hash: number): boolean {
    const place = hash & (SHAPES_SEEN_COUNT - 1)
    if (this.#seen[place] === hash) return true
    this.#seen[place] = hash
    return false
  }

  /** Samples new shapes once the store is full: learning each would cost more than it saves. */
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
