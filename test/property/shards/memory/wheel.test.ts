// Model: a list of (tick, order of scheduling), sorted at each advance.
// Method: random scheduling near, far, beyond the horizon and in the past, cancelling, and jumps
// of time from microseconds to hours, with callbacks that schedule and cancel while they run; now
// and then another wheel takes over on the same items. Some items are parked, and let go. Some
// wheels deal out so few items at once that they fall behind; these may be late while they say that
// they are not done.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { type Micros, NONE } from '../../../../shards/base/units.ts'
import type { WheelViews } from '../../../../shards/memory/layout.ts'
import { MemberWheel, Wheel } from '../../../../shards/memory/wheel.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const STEPS = 300
/** Parking lists. */
const LISTS = 3
const HORIZON_US = 1023 * 1024 * 1000
const SPANS_US = [500, 3000, 100_000, 2_000_000, 60_000_000, HORIZON_US, 4 * 3600 * 1_000_000]

const wheelViews = (items: number): WheelViews => ({
  next: new Uint32Array(items).fill(7),
  prev: new Uint32Array(items).fill(7),
  dueUs: new Float64Array(items),
})

/** With the list that it is parked in; -1 for those that have a time. */
interface Scheduled {
  readonly atUs: number
  readonly order: number
  readonly advance: number
  readonly list: number
}

/** The naive twin: what is scheduled, and which advance it was before. */
class ModelWheel {
  readonly items = new Map<number, Scheduled>()
  tick: number
  #order = 0
  #advance = 0

  constructor(nowUs: number) {
    this.tick = Math.floor(nowUs / 1000)
  }

  schedule(item: number, atUs: number, list = -1): void {
    this.items.set(item, { atUs, order: this.#order++, advance: this.#advance, list })
  }

  scheduleNow(item: number): void {
    this.schedule(item, this.tick * 1000)
  }

  /** The items in a parking list, in the order in which they came there. */
  parkedIn(list: number): number[] {
    return [...this.items].filter(([, item]) => item.list === list)
      .toSorted(([, a], [, b]) => a.order - b.order).map(([item]) => item)
  }

  begin(nowUs: number): void {
    this.tick = Math.max(this.tick, Math.floor(nowUs / 1000))
    this.#advance++
  }

  /** Whether the item may fire in the advance that has begun. */
  isDue({ atUs, advance }: Scheduled): boolean {
    return Math.ceil(atUs / 1000) <= this.tick && advance < this.#advance
  }

  dueCount(): number {
    return [...this.items.values()].filter((item) => this.isDue(item)).length
  }
}

/** One run: a wheel and its twin side by side. */
class Run {
  readonly #prng: Prng
  readonly #views: WheelViews
  #wheel: MemberWheel
  readonly #model: ModelWheel
  readonly #itemsMax: number
  readonly #isOrdered: boolean
  readonly #dealtMax: number
  readonly #spanUsMax: number
  #nowUs: number

  constructor(prng: Prng) {
    this.#prng = prng
    this.#itemsMax = prng.between(1, 50)
    this.#nowUs = prng.below(2 ** 32) * prng.pick([0, 1, 1000]) + prng.pick([0, 0.5])
    this.#spanUsMax = prng.below(SPANS_US.length)
    // Beyond the horizon, items of one tick may change places.
    this.#isOrdered = (SPANS_US[this.#spanUsMax] as number) < HORIZON_US / 2
    this.#views = wheelViews(this.#itemsMax)
    this.#dealtMax = prng.pick([1, 4, this.#itemsMax * 100])
    this.#wheel = new MemberWheel(this.#views, this.#nowUs as Micros, LISTS, this.#dealtMax)
    this.#model = new ModelWheel(this.#nowUs)
  }

  #span(): number {
    const spanUs = SPANS_US[this.#prng.between(0, this.#spanUsMax)] as number
    return this.#prng.unit() * spanUs
  }

  schedule(): void {
    const item = this.#prng.below(this.#itemsMax)
    if (this.#wheel.has(item)) return
    const atUs = Math.max(0, this.#nowUs + this.#span() * this.#prng.pick([1, 1, 1, -1]))
    this.#wheel.schedule(item, atUs as Micros)
    this.#model.schedule(item, atUs)
  }

  reschedule(): void {
    const item = this.#prng.below(this.#itemsMax)
    const atUs = this.#nowUs + this.#span()
    this.#wheel.reschedule(item, atUs as Micros)
    this.#model.schedule(item, atUs)
  }

  cancel(): void {
    const item = this.#prng.below(this.#itemsMax)
    assert.equal(this.#wheel.has(item), this.#model.items.has(item))
    if (!this.#wheel.has(item)) return
    this.#wheel.cancel(item)
    this.#model.items.delete(item)
  }

  park(): void {
    const item = this.#prng.below(this.#itemsMax)
    if (this.#wheel.has(item)) return
    const list = this.#prng.below(LISTS)
    this.#wheel.park(item, list)
    this.#model.schedule(item, Infinity, list)
  }

  unpark(): void {
    const list = this.#prng.below(LISTS)
    const parked = this.#model.parkedIn(list)
    assert.equal(this.#wheel.hasParked(list), parked.length > 0)
    if (this.#prng.chance(0.5)) {
      this.#wheel.unparkAll(list)
      for (const item of parked) this.#model.scheduleNow(item)
    } else {
      assert.equal(this.#wheel.unpark(list), parked.length > 0)
      for (const item of parked.slice(0, 1)) this.#model.scheduleNow(item)
    }
  }

  handOver(): void {
    const baton = structuredClone(this.#wheel.handOver())
    this.#wheel = new MemberWheel(this.#views, this.#nowUs as Micros, LISTS, this.#dealtMax)
    this.#wheel.takeOver(baton)
  }

  jump(): void {
    this.#advance(this.#nowUs + this.#span())
  }

  jumpToNext(): void {
    const nextUs = this.#wheel.nextUs()
    if (nextUs !== Infinity) this.#advance(Math.max(this.#nowUs, nextUs))
  }

  jumpBack(): void {
    this.#advance(Math.max(0, this.#nowUs - this.#span()))
  }

  #advance(nowUs: number): void {
    const firesMax = this.#prng.pick([1, 3, 1000, 1000])
    this.#nowUs = Math.max(this.#nowUs, nowUs)
    this.#model.begin(nowUs)
    const isBusy = this.#prng.chance(0.3)
    let lastTick = -1
    let lastOrder = -1
    const fired = this.#wheel.advance(nowUs as Micros, (item) => {
      const known = this.#model.items.get(item)
      assert.ok(known !== undefined, 'fired an item that is not scheduled')
      assert.ok(this.#model.isDue(known), 'fired early')
      assert.equal(this.#wheel.has(item), false)
      if (this.#isOrdered) {
        const tick = Math.ceil(known.atUs / 1000)
        assert.ok(tick !== lastTick || known.order > lastOrder, 'one tick out of order')
        lastTick = tick
        lastOrder = known.order
      }
      this.#model.items.delete(item)
      if (isBusy) this.#prng.pick([() => this.schedule(), () => this.cancel(),
        () => this.reschedule()])()
    }, firesMax)
    assert.ok(fired <= firesMax)
    if (fired === firesMax || this.#model.dueCount() === 0) return
    assert.ok(this.#dealtMax < this.#itemsMax, 'an item is late')
    assert.ok(this.#wheel.nextUs() <= this.#nowUs, 'an item is late, and its wheel is done')
  }

  /** Each advance of a wheel that has fallen behind deals out some of what is due. */
  catchUp(): void {
    const left = (): number => this.#model.dueCount()
    for (let tries = 0; left() > 0 || this.#wheel.nextUs() <= this.#nowUs; tries++) {
      this.#advance(this.#nowUs)
      assert.ok(tries < 1000 * this.#itemsMax, 'a wheel never catches up')
    }
  }

  check(): void {
    const { items } = this.#model
    assert.equal(this.#wheel.size, items.size)
    const nextUs = this.#wheel.nextUs()
    if (items.size === 0) return assert.equal(nextUs, Infinity)
    for (const { atUs } of items.values()) {
      const fireUs = Math.max(Math.ceil(atUs / 1000), this.#model.tick) * 1000
      assert.ok(nextUs <= fireUs, 'nextUs later than an item')
    }
  }
}

test('a wheel fires what a sorted list fires', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'schedule',
      ['cancel', 'reschedule', 'park', 'unpark', 'jump', 'jumpToNext', 'jumpBack', 'handOver'])
    for (let step = 0; step < STEPS; step++) {
      run[swarm.next()]()
      run.check()
    }
    run.catchUp()
  })
})

test('ticks leave in their order after a jump over many windows', () => {
  forEachSeed(200, (prng) => {
    const items = prng.between(1, 200)
    const wheel = new Wheel(wheelViews(items), 0 as Micros)
    const dueUs = Array.from({ length: items }, () => prng.below(HORIZON_US))
    dueUs.forEach((atUs, item) => wheel.schedule(item, atUs as Micros))
    const fired: number[] = []
    wheel.advance((2 * HORIZON_US) as Micros, (item) => fired.push(item), items)
    const expected = dueUs.map((atUs, item) => ({ tick: Math.ceil(atUs / 1000), item }))
      .toSorted((a, b) => a.tick - b.tick || a.item - b.item).map(({ item }) => item)
    assert.deepEqual(fired, expected)
  })
})

test('time that follows nextUs fires each item less than a millisecond late', () => {
  forEachSeed(200, (prng) => {
    const items = 20
    const wheel = new Wheel(wheelViews(items), 0 as Micros)
    const dueUs = Array.from({ length: items }, () => prng.unit() * prng.pick(SPANS_US))
    dueUs.forEach((atUs, item) => wheel.schedule(item, atUs as Micros))
    let wakes = 0
    while (wheel.size > 0) {
      const nowUs = wheel.nextUs()
      wheel.advance(nowUs, (item) => {
        const lateUs = nowUs - (dueUs[item] as number)
        assert.ok(lateUs >= 0 && lateUs < 1000, `late by ${lateUs} us`)
      }, items)
      wakes++
    }
    assert.ok(wakes < 400, `woken ${wakes} times for ${items} items`)
  })
})

test('a window of many items is dealt out in steps before its time', () => {
  const items = 50_000
  const dealtMax = 1000
  const times = new Float64Array(items)
  let reads = 0
  const dueUs = new Proxy(times, {
    get: (target, at) => {
      if (typeof at === 'string' && at !== 'length') reads++
      return target[Number(at)]
    },
    set: (target, at, value: number) => {
      target[Number(at)] = value
      return true
    },
  })
  const wheel = new Wheel({ ...wheelViews(items), dueUs }, 0 as Micros, 0, dealtMax)
  const startUs = 5 * 1024 * 1000
  const prng = new Prng(1)
  for (let item = 0; item < items; item++) {
    wheel.schedule(item, startUs + prng.below(1_024_000) as Micros)
  }
  let fired = 0
  while (wheel.size > 0) {
    const nowUs = wheel.nextUs()
    reads = 0
    wheel.advance(nowUs, (item) => {
      const lateUs = nowUs - (times[item] as number)
      assert.ok(lateUs >= 0 && lateUs < 1000, `late by ${lateUs} us`)
      fired++
    }, items)
    assert.ok(reads <= dealtMax, `${reads} items at once`)
  }
  assert.equal(fired, items)
})

test('a callback that schedules for now does not hold the advance up', () => {
  const wheel = new MemberWheel(wheelViews(1), 0 as Micros)
  wheel.schedule(0, 1 as Micros)
  const again = (item: number): void => wheel.schedule(item, 0 as Micros)
  assert.equal(wheel.advance(1000 as Micros, again, 1000), 1)
  assert.equal(wheel.nextUs(), 1000)
  assert.equal(wheel.advance(1000 as Micros, again, 1000), 1)
})

test('misuse is told', () => {
  const views = wheelViews(3)
  const wheel = new MemberWheel(views, 0 as Micros)
  wheel.schedule(0, 5000 as Micros)
  assert.throws(() => wheel.schedule(0, 6000 as Micros), /already/)
  assert.throws(() => wheel.schedule(3, 6000 as Micros), /no such/)
  assert.throws(() => wheel.schedule(1, Infinity as Micros), /without a time/)
  assert.throws(() => wheel.cancel(1), /not in the wheel/)
  views.next[1] = NONE
  views.prev[1] = 0
  assert.throws(() => new Wheel(views, 0 as Micros).cancel(1), /not in the wheel/)
})
