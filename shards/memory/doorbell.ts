// The doorbell of a thread: anyone rings, and only a sleeper is woken, so a busy one costs nothing.
// Thread: Bell in any, Sleeper in the owner. Memory: one bell (layout.ts), Atomics only.
// Never: sets a timer, knows what the work is; blocks, but in a nap, which has an end.
// Source: the sleep flag of Agrona's and Aeron's idle strategies; Atomics.waitAsync for the wait.
//
// No wake-up is lost. The owner stores ASLEEP, then looks for work; a producer publishes its work,
// then looks at ASLEEP. All four are sequentially consistent, so at least one sees the other:
//
//   owner                                   producer
//   ASLEEP := 1                             publish
//   work? then awake, look again            ASLEEP taken from 1 to 0? then RINGS += 1, notify
//   else wait while RINGS is as it was
//
// Between the owner's look and its wait RINGS may change; the wait then ends before it begins.
// A nap is the same with NAPPING and NAPS in the place of ASLEEP and RINGS, but the owner blocks:
// the kernel wakes it by itself, where a sleeper is woken by way of its event loop, which costs
// either side several microseconds more. So a nap is for who expects the bell to be rung at once.
// A pending wait does not keep a thread alive, and a thread should not bet its life on a bell: the
// owner holds a port or socket open, and looks again on a slow timer all the same.

import { assert } from '../base/assert.ts'
import { BELL_BYTES, LINE_BYTES } from './layout.ts'

const RINGS_WORD = 0
/** Naps that were ended by a ring; a word of its own, so that no pending wait is ended with it. */
const NAPS_WORD = 2
const STATE_WORD = LINE_BYTES / 4
const AWAKE = 0
const ASLEEP = 1
const NAPPING = 2

// V8 keeps the promises of a thread's waits in a set, and makes the set's table anew each time that
// it becomes empty. An old table keeps the newer one alive, so that from each wake some hundred
// bytes stay until the next full collection. With one wait that never ends it is never empty.
void Atomics.waitAsync(new Int32Array(new SharedArrayBuffer(4)), 0, 0)

/** Rings one thread's bell, from any thread. */
export class Bell {
  readonly #words: Int32Array

  /** @param words a bell's words, as layout.ts lays them. */
  constructor(words: Int32Array) {
    assert(words.byteLength === BELL_BYTES, 'these words are no bell')
    this.#words = words
  }

  /** Wakes the owner if it sleeps. To be called after the work is published; once per batch. */
  ring(): void {
    if (Atomics.load(this.#words, STATE_WORD) === AWAKE) return
    const state = Atomics.exchange(this.#words, STATE_WORD, AWAKE)
    if (state === AWAKE) return // another ringer has it
    const word = state === NAPPING ? NAPS_WORD : RINGS_WORD
    Atomics.add(this.#words, word, 1)
    Atomics.notify(this.#words, word)
  }
}

/** The owner's end of a bell. */
export class Sleeper {
  readonly #words: Int32Array
  /** Set while asleep. */
  #wake: (() => void) | undefined
  /** A wait is pending, of this sleep or of an earlier one that ended by awake(). */
  #waiting = false

  /** @param words a bell's words, as layout.ts lays them. */
  constructor(words: Int32Array) {
    assert(words.byteLength === BELL_BYTES, 'these words are no bell')
    this.#words = words
    // A thread that died asleep leaves the flag; its successor starts awake.
    Atomics.store(this.#words, STATE_WORD, AWAKE)
  }

  /**
   * Falls asleep unless `hasWork` says otherwise after sleep was announced. True: asleep, and
   * `wake` is called once, from the event loop, when the bell is rung; it may also come for nothing
   * (a ring that was meant for an earlier sleep), so it must look for itself. False: awake, `wake`
   * is not called, there is work or the bell has just been rung.
   * What `wake` throws ends the thread, as an unhandled rejection.
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
   * Blocks the thread until the bell is rung, for `ms` milliseconds at most; not at all when there
   * is work. The owner is awake before and after. True: there is work, or the bell was rung, in
   * rare cases for nothing. False: the time is up; work that came with the last moment is found by
   * the next sleep.
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
   * The owner woke for another reason, a timer for instance: nobody need ring, and the `wake` of
   * this sleep is not called any more. Harmless when awake already. A ring that was under way finds
   * no sleeper, or wakes the next sleep for nothing.
   */
  awake(): void {
    this.#wake = undefined
    Atomics.store(this.#words, STATE_WORD, AWAKE)
  }

  /**
   * Sees to it that a wait is pending; false when RINGS is not `rings` any more. There is at most
   * one, kept across sleeps that timers end: a wait cannot be called off, and a thousand a second
   * would pile up. An old one is as good as a new one, because RINGS never changes without a notify
   * after it, so it either still waits or is about to call #rung.
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
