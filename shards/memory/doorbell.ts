// A thread's doorbell, which any thread rings. Only a sleeping owner is woken; a busy one costs
// nothing.
// Thread: Bell in any, Sleeper in the owner. Memory: one bell (layout.ts), Atomics only.
// Never: sets a timer, knows what the work is; blocks, except in a nap, which has a timeout.
// Source: the sleep flag of Agrona's and Aeron's idle strategies; Atomics.waitAsync for the wait.
//
// No wake-up is lost. The owner stores ASLEEP, then checks for work; a producer publishes its work,
// then checks ASLEEP. All four are sequentially consistent, so at least one sees the other:
//
//   owner                                   producer
//   ASLEEP := 1                             publish
//   work? then awake, check again           ASLEEP exchanged from 1 to 0? RINGS += 1, notify
//   else wait while RINGS is unchanged
//
// If RINGS changes between the owner's check and its wait, the wait ends at once.
// A nap is the same with NAPPING and NAPS instead of ASLEEP and RINGS, but the owner blocks. The
// kernel wakes it directly, while a sleeper is woken through its event loop, which costs either
// side several microseconds more. So a nap is for an owner that expects a ring immediately.
// A pending wait does not keep a thread alive, and an owner should not depend on the bell alone: it
// holds a port or socket open, and also polls on a slow timer.

import { assert } from '../base/assert.ts'
import { BELL_BYTES, LINE_BYTES } from './layout.ts'

const RINGS_WORD = 0
/** Naps ended by a ring: a separate word, so that ending a nap does not end a pending wait. */
const NAPS_WORD = 2
const STATE_WORD = LINE_BYTES / 4
const AWAKE = 0
const ASLEEP = 1
const NAPPING = 2

// V8 keeps the promises of a thread's waits in a set and allocates a new table for it each time it
// becomes empty. An old table keeps the newer one alive, so each wake-up leaks some hundred bytes
// until the next full collection. One wait that never ends keeps the set from becoming empty.
void Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0)

/** Rings one thread's bell, from any thread. */
export class Bell {
  readonly #words: Int32Array

  /** @param words a bell's words, see layout.ts. */
  constructor(words: Int32Array) {
    assert(words.byteLength === BELL_BYTES, 'these words are no bell')
    this.#words = words
  }

  /** Wakes the owner if it sleeps. To be called after work is published, once per batch. */
  ring(): void {
    if (Atomics.load(this.#words, STATE_WORD) === AWAKE) return
    const state = Atomics.exchange(this.#words, STATE_WORD, AWAKE)
    if (state === AWAKE) return // another thread rang first
    const word = state === NAPPING ? NAPS_WORD : RINGS_WORD
    Atomics.add(this.#words, word, 1)
    Atomics.notify(this.#words, word)
  }
}

/** The owner's end of a bell. */
export class Sleeper {
  readonly #words: Int32Array
  /** Defined while asleep. */
  #wake: (() => void) | undefined
  /** A wait is pending, of this sleep or of an earlier one that ended by awake(). */
  #waiting = false

  /** @param words a bell's words, see layout.ts. */
  constructor(words: Int32Array) {
    assert(words.byteLength === BELL_BYTES, 'these words are no bell')
    this.#words = words
    // A thread that ended while asleep leaves its flag; the successor starts awake.
    Atomics.store(this.#words, STATE_WORD, AWAKE)
  }

  /**
   * Goes to sleep unless `hasWork` is true after ASLEEP was stored. True: asleep, and `wake` is
   * called once, from the event loop, when the bell is rung. The wake-up may be spurious (a ring
   * meant for an earlier sleep), so `wake` must check for work. False: awake; `wake` is not called,
   * there is work or the bell has just been rung.
   * An exception of `wake` ends the thread, as an unhandled rejection.
   */
  sleep(hasWork: () => boolean, wake: () => void): boolean {
    assert(this.#wake === undefined, 'asleep already')
    const rings = Atomics.load(this.#words, RINGS_WORD)
    Atomics.store(this.#words, STATE_WORD, ASLEEP)
    if (hasWork() || !this.#wait(rings)) {
      Atomics.store(this.#words, STATE_WORD, AWAKE)
      return false
    }
    this.#wake = wake
    return true
  }

  /**
   * Blocks the thread until the bell is rung, for at most `ms` milliseconds; not at all if there is
   * work. The owner is awake before and after. True: there is work, or the bell was rung, rarely
   * spuriously. False: timed out; work that arrived at the last moment is found by the next sleep.
   */
  nap(hasWork: () => boolean, ms: number): boolean {
    assert(this.#wake === undefined, 'asleep already')
    const naps = Atomics.load(this.#words, NAPS_WORD)
    Atomics.store(this.#words, STATE_WORD, NAPPING)
    const isRung = hasWork() ||
      Atomics.wait(this.#words, NAPS_WORD, naps, ms) !== 'timed-out'
    Atomics.store(this.#words, STATE_WORD, AWAKE)
    return isRung
  }

  /**
   * The owner woke for another reason, for instance a timer: no ring is necessary, and the `wake`
   * of this sleep is no longer called. No effect when awake already. A concurrent ring finds no
   * sleeper, or wakes the next sleep spuriously.
   */
  awake(): void {
    this.#wake = undefined
    Atomics.store(this.#words, STATE_WORD, AWAKE)
  }

  /**
   * Ensures that a wait is pending; false when RINGS differs from `rings`. There is at most one,
   * kept across sleeps that end by a timer: a wait cannot be cancelled, and a thousand a second
   * would accumulate. A pending wait is as good as a new one: each change of RINGS is followed by a
   * notify, so it either still waits or is about to call #rung.
   */
  #wait(rings: number): boolean {
    if (this.#waiting) return true
    const wait = Atomics.waitAsync(this.#words, RINGS_WORD, rings)
    if (!wait.async) return false
    this.#waiting = true
    void wait.value.then(this.#rung)
    return true
  }

  readonly #rung = (): void => {
    this.#waiting = false
    const wake = this.#wake
    if (wake === undefined) return // awake() came first
    this.awake()
    wake()
  }
}
