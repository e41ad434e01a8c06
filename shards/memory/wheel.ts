// A timing wheel: finds the items that are due without examining the others.
// Thread: shard. Memory: writes `next`, `prev`, `dueUs` of the items in it; derived, rebuilt by
// scheduling again. List ends and bitmaps are private.
// Never: reads a clock, sets a timer, allocates, or iterates over ticks: a jump of hours costs no
// more than the items that it passes. Moves more than WHEEL_DEALT_PER_TURN_MAX items from far to
// near lists at once.
// Source: hashed hierarchical timing wheels, Varghese and Lauck 1987.
//
//   near: 2,048 lists of one tick (1 ms) each: the current window's and the next one's
//   far:  1,024 lists of one window (1,024 ms) each. While time is in a window, the next window's
//         far list is *dealt* to its near lists, some items at each advance. An item that is due
//         in more than 17 minutes waits in the farthest window's list.
//
// Items that wait for an event instead of a time are *parked*, in one list per event, numbered by
// the owner: they cost nothing until the event, and are due then.
//
// An item goes to a near list only if its window's far list is empty, so that items of one tick
// fire in insertion order (except across the 17 minutes' horizon). If a window's list is not dealt
// completely when time enters it, the wheel stays at its start until it is: items fire late, none
// early, and in the same order.

import { assert } from '../base/assert.ts'
import { type Micros, NONE } from '../base/units.ts'
import type { WheelViews } from './layout.ts'
import { WHEEL_DEALT_PER_TURN_MAX } from './limits.ts'

const TICK_US = 1000
const WINDOW_TICKS = 1024
const WINDOWS = 1024
const NEAR_WINDOWS = 2

// Lists: near ones, far ones, what is due now, and what came due while items were being fired.
const FAR = NEAR_WINDOWS * WINDOW_TICKS
const READY = FAR + WINDOWS
const ARRIVED = READY + 1
const LISTS = ARRIVED + 1
/** A link with this plus a list's number is that list's end, not an item. */
const LIST_BASE = 0xfff00000
/** The most lists: the largest link must stay below NONE. */
const LISTS_MAX = NONE - LIST_BASE

/** The first tick at which an item may fire: 1 us → 1, 1000 us → 1, 1001 us → 2. */
const tickOf = (dueUs: number): number => Math.ceil(dueUs / TICK_US)
const windowOf = (tick: number): number => Math.floor(tick / WINDOW_TICKS)
/** A window's far list, 0 … 1023. */
const placeOf = (window: number): number => window - Math.floor(window / WINDOWS) * WINDOWS
/** The first of a window's near lists. */
const nearOf = (window: number): number => (placeOf(window) % NEAR_WINDOWS) * WINDOW_TICKS

/** A wheel without its items' links and times, which stay in shared memory. */
export interface WheelBaton {
  readonly first: Uint32Array
  readonly last: Uint32Array
  readonly nearFilled: Int32Array
  readonly farFilled: Int32Array
  readonly tick: number
  readonly window: number
  readonly size: number
}

/** The same with a MemberWheel's byte for each item. */
export interface MemberWheelBaton extends WheelBaton {
  readonly members: Uint8Array
}

/**
 * Items by due time. The owner must know which items are in it: scheduling one twice or cancelling
 * an absent one damages the lists (MemberWheel keeps that knowledge itself).
 *
 * An item fires at the first advance, begun after it was scheduled, that has
 * floor(nowUs / 1000) ≥ ceil(dueUs / 1000): never early, and less than 1 ms late. If more items
 * are due within a second than the advances can deal, each fires as soon as it has been dealt.
 */
export class Wheel {
  readonly #next: Uint32Array
  readonly #prev: Uint32Array
  readonly #dueUs: Float64Array
  readonly #first: Uint32Array
  readonly #last: Uint32Array
  readonly #nearFilled = new Bitmap(NEAR_WINDOWS * WINDOW_TICKS)
  readonly #farFilled = new Bitmap(WINDOWS)
  readonly #dealtMax: number
  /** All ticks up to this one are in READY. */
  #tick: number
  #window: number
  #size = 0
  #advancing = false

  /**
   * An empty wheel; what the views hold is ignored.
   * @param parkingLists how many events items may be parked for: 0 … parkingLists - 1.
   */
  constructor(
    views: WheelViews, nowUs: Micros, parkingLists = 0, dealtMax = WHEEL_DEALT_PER_TURN_MAX,
  ) {
    assert(views.next.length < LIST_BASE, 'too many items for a wheel')
    assert(LISTS + parkingLists <= LISTS_MAX, 'too many lists for a wheel')
    this.#first = new Uint32Array(LISTS + parkingLists)
    this.#last = new Uint32Array(LISTS + parkingLists)
    this.#dealtMax = dealtMax
    this.#next = views.next
    this.#prev = views.prev
    this.#dueUs = views.dueUs
    this.#tick = Math.floor(nowUs / TICK_US)
    this.#window = windowOf(this.#tick)
    for (let list = 0; list < LISTS + parkingLists; list++) this.#makeEmpty(list)
  }

  /** The state a successor on the same items starts from. The wheel must not be used after it. */
  handOver(): WheelBaton {
    assert(!this.#advancing, 'a wheel handed over while it fires')
    return {
      first: this.#first, last: this.#last, nearFilled: this.#nearFilled.words,
      farFilled: this.#farFilled.words, tick: this.#tick, window: this.#window, size: this.#size,
    }
  }

  /** Continues as the wheel that was handed over, whose items the views hold. */
  takeOver(baton: WheelBaton): void {
    assert(this.#size === 0, 'a wheel in use takes over from another')
    this.#first.set(baton.first)
    this.#last.set(baton.last)
    this.#nearFilled.words.set(baton.nearFilled)
    this.#farFilled.words.set(baton.farFilled)
    this.#tick = baton.tick
    this.#window = baton.window
    this.#size = baton.size
  }

  /** Number of items in the wheel, including parked ones and due ones that have not fired. */
  get size(): number {
    return this.#size
  }

  /** Inserts an item that is not in the wheel; with a time in the past it is due at once. */
  schedule(item: number, atUs: Micros): void {
    assert(item < this.#next.length, 'no such wheel item')
    assert(atUs < Infinity, 'an item without a time does not belong in the wheel')
    this.#dueUs[item] = atUs
    this.#size++
    this.#place(item)
  }

  /** Inserts an item that is not in the wheel and is due when the event occurs. */
  park(item: number, event: number): void {
    assert(LISTS + event < this.#first.length, 'no such parking list')
    this.#size++
    this.#append(LISTS + event, item)
  }

  /** The event has occurred: all items parked for it are due. */
  unparkAll(event: number): void {
    this.#splice(LISTS + event, ARRIVED)
  }

  /** Makes the item parked longest for the event due; false if none is parked. */
  unpark(event: number): boolean {
    const item = this.#first[LISTS + event] as number
    if (item >= LIST_BASE) return false
    this.#join(LIST_BASE + LISTS + event, this.#next[item] as number)
    this.#append(ARRIVED, item)
    return true
  }

  /** Whether an item is parked for the event. */
  hasParked(event: number): boolean {
    return (this.#first[LISTS + event] as number) < LIST_BASE
  }

  /** Removes an item that is in the wheel, parked or not. */
  cancel(item: number): void {
    this.#unlink(item)
    this.#size--
  }

  /**
   * Moves time to `nowUs` (never back) and calls `due` for at most `itemsMax` items, each removed
   * from the wheel before; the rest stay due. `due` may schedule and cancel any item, its own
   * included; an item that it schedules for a time in the past fires at the next advance.
   * @returns the number fired.
   */
  advance(nowUs: Micros, due: (item: number) => void, itemsMax: number): number {
    assert(!this.#advancing, 'advance called from within advance')
    this.#splice(ARRIVED, READY)
    this.#collect(Math.max(this.#tick, Math.floor(nowUs / TICK_US)))
    this.#advancing = true
    let fired = 0
    while (fired < itemsMax) {
      const item = this.#first[READY] as number
      if (item >= LIST_BASE) break
      this.cancel(item)
      fired++
      due(item)
    }
    this.#advancing = false
    return fired
  }

  /**
   * When advance has work: an item to fire, or items to deal. In the past when there is work for
   * the current time; Infinity when the wheel is empty.
   */
  nextUs(): Micros {
    if (this.#size === 0) return Infinity as Micros
    const window = this.#window
    const isDue = (this.#first[READY] as number) < LIST_BASE ||
      (this.#first[ARRIVED] as number) < LIST_BASE
    if (isDue || this.#isUndealt(window)) return (this.#tick * TICK_US) as Micros
    if (this.#isUndealt(window + 1)) return ((this.#tick + 1) * TICK_US) as Micros
    for (const at of [window, window + 1]) {
      const place = this.#firstNear(at)
      if (place < WINDOW_TICKS) return ((at * WINDOW_TICKS + place) * TICK_US) as Micros
    }
    // It is dealt in the window before it.
    return ((this.#nextUndealt() - 1) * WINDOW_TICKS * TICK_US) as Micros
  }

  /** Moves every item of a tick up to `target` to READY, in the order of the ticks. */
  #collect(target: number): void {
    const targetWindow = windowOf(target)
    for (let left = this.#dealtMax; ;) {
      left = this.#deal(this.#window, left)
      if (this.#isUndealt(this.#window)) return
      if (this.#window >= targetWindow) {
        this.#collectNear(target - this.#window * WINDOW_TICKS)
        this.#tick = target
        this.#deal(this.#window + 1, left)
        return
      }
      this.#collectNear(WINDOW_TICKS - 1)
      const isNext = this.#firstNear(this.#window + 1) < WINDOW_TICKS
      this.#window = isNext ? this.#window + 1 : Math.min(targetWindow, this.#nextUndealt())
      this.#tick = this.#window * WINDOW_TICKS - 1
    }
  }

  /** Moves the current window's near lists 0 … `lastPlace` to READY. */
  #collectNear(lastPlace: number): void {
    const start = nearOf(this.#window)
    for (let place = this.#firstNear(this.#window); place <= lastPlace;
      place = this.#firstNear(this.#window)) this.#splice(start + place, READY)
  }

  /** The first of a window's near lists that holds items, 0 … 1023; beyond that, none does. */
  #firstNear(window: number): number {
    const start = nearOf(window)
    return this.#nearFilled.atOrAfter(start) - start
  }

  #isUndealt(window: number): boolean {
    return (this.#first[FAR + placeOf(window)] as number) < LIST_BASE
  }

  /** The next window after the current one whose far list holds items; Infinity if none does. */
  #nextUndealt(): number {
    const here = placeOf(this.#window)
    let place = this.#farFilled.atOrAfter(here + 1)
    if (place === NONE) place = this.#farFilled.atOrAfter(0)
    if (place === NONE) return Infinity
    return this.#window + (place > here ? place - here : place - here + WINDOWS)
  }

  /**
   * Deals at most `itemsMax` items of a window's far list: to its near lists, or to far lists if
   * they are due beyond this window. @returns what is left of itemsMax.
   */
  #deal(window: number, itemsMax: number): number {
    const list = FAR + placeOf(window)
    let left = itemsMax
    for (; left > 0; left--) {
      const item = this.#first[list] as number
      if (item >= LIST_BASE) break
      this.#unlink(item)
      const tick = tickOf(this.#dueUs[item] as number)
      if (windowOf(tick) === window) this.#placeNear(tick, item)
      else this.#placeFar(windowOf(tick), item)
    }
    return left
  }

  #place(item: number): void {
    const tick = tickOf(this.#dueUs[item] as number)
    if (tick <= this.#tick) return this.#append(ARRIVED, item)
    const window = windowOf(tick)
    const isNear = window - this.#window < NEAR_WINDOWS && !this.#isUndealt(window)
    if (isNear) this.#placeNear(tick, item)
    else this.#placeFar(window, item)
  }

  #placeNear(tick: number, item: number): void {
    const window = windowOf(tick)
    const list = nearOf(window) + tick - window * WINDOW_TICKS
    this.#nearFilled.set(list)
    this.#append(list, item)
  }

  #placeFar(window: number, item: number): void {
    const place = placeOf(Math.min(window, this.#window + WINDOWS - 1))
    this.#farFilled.set(place)
    this.#append(FAR + place, item)
  }

  #unlink(item: number): void {
    const next = this.#next[item] as number
    const prev = this.#prev[item] as number
    const nextPrev = next < LIST_BASE ? this.#prev[next] : this.#last[next - LIST_BASE]
    const prevNext = prev < LIST_BASE ? this.#next[prev] : this.#first[prev - LIST_BASE]
    assert(nextPrev === item && prevNext === item, 'the item is not in the wheel')
    this.#join(prev, next)
    // Only an item that was alone in its list has the list on both sides.
    if (prev === next) this.#unmark(prev - LIST_BASE)
  }

  #append(list: number, item: number): void {
    this.#join(this.#last[list] as number, item)
    this.#join(item, LIST_BASE + list)
  }

  /** Moves a whole list to the end of another one, in O(1). */
  #splice(list: number, to: typeof READY | typeof ARRIVED): void {
    const first = this.#first[list] as number
    if (first >= LIST_BASE) return
    const last = this.#last[list] as number
    this.#join(this.#last[to] as number, first)
    this.#join(last, LIST_BASE + to)
    this.#makeEmpty(list)
    this.#unmark(list)
  }

  /** Makes `right` follow `left`; either may be an end of a list. */
  #join(left: number, right: number): void {
    if (left < LIST_BASE) this.#next[left] = right
    else this.#first[left - LIST_BASE] = right
    if (right < LIST_BASE) this.#prev[right] = left
    else this.#last[right - LIST_BASE] = left
  }

  #makeEmpty(list: number): void {
    this.#first[list] = LIST_BASE + list
    this.#last[list] = LIST_BASE + list
  }

  #unmark(list: number): void {
    if (list < FAR) this.#nearFilled.clear(list)
    else if (list < READY) this.#farFilled.clear(list - FAR)
  }
}

/** A wheel that knows which items are in it. Memory: a private byte for each item. */
export class MemberWheel extends Wheel {
  readonly #members: Uint8Array

  constructor(
    views: WheelViews, nowUs: Micros, parkingLists = 0, dealtMax = WHEEL_DEALT_PER_TURN_MAX,
  ) {
    super(views, nowUs, parkingLists, dealtMax)
    this.#members = new Uint8Array(views.next.length)
  }

  override handOver(): MemberWheelBaton {
    return { ...super.handOver(), members: this.#members }
  }

  override takeOver(baton: MemberWheelBaton): void {
    super.takeOver(baton)
    this.#members.set(baton.members)
  }

  /** Whether the item is in the wheel, due and parked ones included; false from its firing on. */
  has(item: number): boolean {
    return this.#members[item] === 1
  }

  override schedule(item: number, atUs: Micros): void {
    assert(!this.has(item), 'the item is in the wheel already')
    super.schedule(item, atUs)
    this.#members[item] = 1
  }

  override park(item: number, event: number): void {
    assert(!this.has(item), 'the item is in the wheel already')
    super.park(item, event)
    this.#members[item] = 1
  }

  /** Removes an item that is in the wheel; advance, too, removes items by this. */
  override cancel(item: number): void {
    assert(this.has(item), 'the item is not in the wheel')
    super.cancel(item)
    this.#members[item] = 0
  }

  /** Schedules the item for `atUs` and no other time, whether it is in the wheel or not. */
  reschedule(item: number, atUs: Micros): void {
    if (this.has(item)) this.cancel(item)
    this.schedule(item, atUs)
  }
}

/** A bitmap, of a multiple of 32 bits, with a search for the next set bit. */
class Bitmap {
  readonly words: Int32Array

  constructor(bits: number) {
    this.words = new Int32Array(bits / 32)
  }

  set(bit: number): void {
    this.words[bit >>> 5] = (this.words[bit >>> 5] as number) | (1 << (bit & 31))
  }

  clear(bit: number): void {
    this.words[bit >>> 5] = (this.words[bit >>> 5] as number) & ~(1 << (bit & 31))
  }

  /** The first set bit at or after `bit`, which may be the number of bits; or NONE. */
  atOrAfter(bit: number): number {
    let word = bit >>> 5
    if (word === this.words.length) return NONE
    let bits = (this.words[word] as number) & (-1 << (bit & 31))
    while (bits === 0) {
      if (++word === this.words.length) return NONE
      bits = this.words[word] as number
    }
    return word * 32 + 31 - Math.clz32(bits & -bits)
  }
}
