// Doubly linked lists of jobs, through links in the job slots.
// Thread: shard. Memory: writes the links, the head and the tail that it is given.
// Never: looks at a job's state; its owner knows which list a job is in.
// The heads live in typed arrays (one pair to a lane) or in a small array of the owner's.

import { type JobSlot, NONE } from '../base/units.ts'
import type { JobArrays } from './layout.ts'

/** By slot: the next one in its list, and the previous one. */
export type Links = Pick<JobArrays, 'next' | 'prev'>

/** Lists of jobs, by number: a lane's list has the lane's number. */
export class JobLists {
  readonly #next: Uint32Array
  readonly #prev: Uint32Array
  readonly #head: Uint32Array
  readonly #tail: Uint32Array

  /** @param head @param tail first and last job of each list; NONE where it is empty. */
  constructor(links: Links, head: Uint32Array, tail: Uint32Array) {
    this.#next = links.next
    this.#prev = links.prev
    this.#head = head
    this.#tail = tail
  }

  /** Makes a list empty, as is necessary once before it is used. */
  reset(list: number): void {
    this.#head[list] = NONE
    this.#tail[list] = NONE
  }

  first(list: number): JobSlot | typeof NONE {
    return this.#head[list] as JobSlot
  }

  last(list: number): JobSlot | typeof NONE {
    return this.#tail[list] as JobSlot
  }

  following(slot: JobSlot): JobSlot | typeof NONE {
    return this.#next[slot] as JobSlot
  }

  pushBack(list: number, slot: JobSlot): void {
    const tail = this.#tail[list] as number
    this.#next[slot] = NONE
    this.#prev[slot] = tail
    if (tail === NONE) this.#head[list] = slot
    else this.#next[tail] = slot
    this.#tail[list] = slot
  }

  pushFront(list: number, slot: JobSlot): void {
    const head = this.#head[list] as number
    this.#prev[slot] = NONE
    this.#next[slot] = head
    if (head === NONE) this.#tail[list] = slot
    else this.#prev[head] = slot
    this.#head[list] = slot
  }

  /** Removes a job from the list that it is in, at any position. */
  remove(list: number, slot: JobSlot): void {
    const next = this.#next[slot] as number
    const prev = this.#prev[slot] as number
    if (prev === NONE) this.#head[list] = next
    else this.#next[prev] = next
    if (next === NONE) this.#tail[list] = prev
    else this.#prev[next] = prev
  }
}
