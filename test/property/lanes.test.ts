// Model: a Map from account and upstream to an array of jobs; for turns, an array of lanes.
// Method: random arrivals, sends, retries, cancellations, ends and pauses, with few slots so that
// lanes run short; after each step lines, references and siblings must agree, and a lane that was
// given back must have been the longest idle of those that had nothing left to remember.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JobSlots } from '../../shards/job-slots.ts'
import { Lanes } from '../../shards/lanes.ts'
import type { ShardViews } from '../../shards/layout.ts'
import { IDLE_KEEP_MS_MIN } from '../../shards/limits.ts'
import type { Prng } from '../../shards/prng.ts'
import { TurnLists } from '../../shards/turn-lists.ts'
import {
  type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot, msToUs,
} from '../../shards/units.ts'
import { oneShard } from '../support/shard-memory.ts'
import { Swarm, forEachSeed } from '../support/swarm.ts'

const RUNS = 300
const STEPS = 250
const UPSTREAMS = 4
const JOBS = 80

interface ModelLane {
  readonly lane: LaneSlot
  readonly upstream: UpstreamSlot
  readonly line: JobSlot[]
  references: number
  lastSendUs: number
  /** When it may be sent to again, which a far base puts off. */
  eligibleUs: number
  /** Grows with each time that the lane became idle. */
  idleAs: number
  /** No job was taken out of the middle or put back in front, so places are exact. */
  hasHoles: boolean
}

class Run {
  readonly #prng: Prng
  readonly #views: ShardViews
  readonly #lanes: Lanes
  readonly #accounts: number
  readonly #ownLanes: number
  readonly #freeJobs = Array.from({ length: JOBS }, (_, slot) => slot as JobSlot)
  /** By key and upstream; overflow lanes by their upstream alone. */
  readonly #model = new Map<string, ModelLane>()
  readonly #inFlight: { slot: JobSlot; at: ModelLane }[] = []
  #nowUs = 10_000_000_000 as Micros
  #idles = 0

  constructor(prng: Prng) {
    this.#prng = prng
    this.#ownLanes = prng.between(1, 12)
    this.#views = oneShard({
      jobsMax: JOBS, upstreamsMax: UPSTREAMS, lanesMax: UPSTREAMS + this.#ownLanes,
    })
    this.#lanes = new Lanes(this.#views, new JobSlots(this.#views))
    this.#accounts = prng.between(1, 10)
  }

  arrive(): void {
    const slot = this.#freeJobs.pop()
    if (slot === undefined) return
    const at = this.#find()
    this.#lanes.addReference(at.lane)
    at.references++
    this.#lanes.place(at.lane, slot, false)
    this.#lanes.link(at.lane, slot, false)
    at.line.push(slot)
  }

  /** An account is looked for and sends nothing: its lane is idle from the start. */
  look(): void {
    this.#find()
  }

  send(): void {
    const at = this.#drawLane()
    const slot = at?.line.shift()
    if (at === undefined || slot === undefined) return
    assert.equal(this.#lanes.first(at.lane), slot)
    this.#lanes.remove(at.lane, slot)
    at.lastSendUs = this.#nowUs
    this.#lanes.at.lastSendUs[at.lane] = this.#nowUs
    // Now and then a budget that is held far into the future.
    const baseUs = this.#nowUs + (this.#prng.chance(0.1) ? msToUs(2 * IDLE_KEEP_MS_MIN) : 0)
    this.#lanes.at.baseUs[at.lane] = baseUs
    this.#lanes.at.intervalNs[at.lane] = 500_000_000
    at.eligibleUs = baseUs + 500_000
    this.#inFlight.push({ slot, at })
  }

  retry(): void {
    const [job] = this.#inFlight.splice(this.#prng.below(this.#inFlight.length + 1), 1)
    if (job === undefined) return
    this.#lanes.place(job.at.lane, job.slot, true)
    this.#lanes.link(job.at.lane, job.slot, true)
    job.at.line.unshift(job.slot)
    job.at.hasHoles = true
  }

  end(): void {
    const [job] = this.#inFlight.splice(this.#prng.below(this.#inFlight.length + 1), 1)
    if (job !== undefined) this.#drop(job.at, job.slot)
  }

  cancel(): void {
    const at = this.#drawLane()
    if (at === undefined || at.line.length === 0) return
    const [slot] = at.line.splice(this.#prng.below(at.line.length), 1)
    if (slot === undefined) return
    at.hasHoles = true
    this.#lanes.remove(at.lane, slot)
    this.#drop(at, slot)
  }

  pause(): void {
    this.#nowUs = (this.#nowUs + this.#prng.below(msToUs(IDLE_KEEP_MS_MIN) * 1.5)) as Micros
  }

  releaseUpstream(): void {
    const upstream = this.#prng.below(UPSTREAMS) as UpstreamSlot
    const ofUpstream = [...this.#model].filter(([, at]) => at.upstream === upstream)
    if (ofUpstream.some(([, at]) => at.references > 0)) return
    this.#lanes.releaseAllOf(upstream)
    for (const [key] of ofUpstream) this.#model.delete(key)
  }

  check(): void {
    const lanes = this.#lanes
    assert.equal(lanes.used, this.#model.size)
    for (const { lane, upstream, line, references, hasHoles } of this.#model.values()) {
      assert.equal(lanes.at.upstream[lane], upstream)
      assert.equal(lanes.at.references[lane], references)
      assert.equal(lanes.count(lane), line.length)
      assert.equal(lanes.first(lane), line[0] ?? NONE)
      let place = 0
      for (const slot of line) {
        place++
        const position = lanes.position(lane, slot)
        if (!hasHoles) assert.equal(position, place)
        assert.ok(position >= place && position <= line.length, `${position} is no place`)
      }
    }
    for (let upstream = 0; upstream < UPSTREAMS; upstream++) {
      const visited: LaneSlot[] = []
      lanes.forEachOf(upstream as UpstreamSlot, (lane) => { visited.push(lane) })
      const known = [...this.#model.values()].filter((at) => at.upstream === upstream)
      assert.deepEqual(visited.toSorted(), known.map((at) => at.lane).toSorted())
    }
  }

  /** The lines themselves, by taking them down job by job. */
  drain(): void {
    for (const at of this.#model.values()) {
      for (const slot of at.line.splice(0)) {
        assert.equal(this.#lanes.first(at.lane), slot)
        this.#lanes.remove(at.lane, slot)
        this.#drop(at, slot)
      }
    }
    this.check()
  }

  #find(): ModelLane {
    const upstream = this.#prng.below(UPSTREAMS) as UpstreamSlot
    const account = this.#prng.below(this.#accounts)
    const key = `${account}/${upstream}`
    const known = this.#model.get(key)
    // Accounts of one hash word, and of neighbouring ones: the index must compare both.
    const lane = this.#lanes.find(account, account >> 1, upstream, this.#nowUs)
    if (known !== undefined) {
      assert.equal(lane, known.lane, 'an account lost its lane')
      return known
    }
    const overflow = this.#model.get(`overflow/${upstream}`)
    if (overflow !== undefined && overflow.references > 0) {
      assert.equal(lane, overflow.lane, 'a later job might overtake an earlier one')
      return overflow
    }
    const own = [...this.#model].filter(([, at]) => !this.#lanes.isOverflow(at.lane))
    if (own.length < this.#ownLanes) {
      assert.equal(this.#lanes.isOverflow(lane), false, 'a free lane was not used')
      return this.#add(key, lane, upstream)
    }
    const spare = own.filter(([, at]) => this.#mayGo(at))
      .toSorted(([, a], [, b]) => a.idleAs - b.idleAs)[0]
    if (spare === undefined) {
      assert.equal(lane, upstream as number, 'a lane that is in use was given away')
      return overflow ?? this.#add(`overflow/${upstream}`, lane, upstream)
    }
    assert.equal(lane, spare[1].lane, 'not the longest idle lane was given back')
    this.#model.delete(spare[0])
    return this.#add(key, lane, upstream)
  }

  #mayGo({ references, lastSendUs, eligibleUs }: ModelLane): boolean {
    if (references > 0) return false
    const idleUs = this.#nowUs - lastSendUs
    return (lastSendUs === 0 || idleUs >= msToUs(IDLE_KEEP_MS_MIN)) && eligibleUs <= this.#nowUs
  }

  #add(key: string, lane: LaneSlot, upstream: UpstreamSlot): ModelLane {
    const at: ModelLane = {
      lane, upstream, line: [], references: 0, lastSendUs: 0, eligibleUs: 0,
      idleAs: this.#idles++, hasHoles: false,
    }
    this.#model.set(key, at)
    return at
  }

  #drop(at: ModelLane, slot: JobSlot): void {
    this.#lanes.dropReference(at.lane)
    at.references--
    if (at.references === 0) at.idleAs = this.#idles++
    if (at.references === 0) at.hasHoles = false
    this.#freeJobs.push(slot)
  }

  #drawLane(): ModelLane | undefined {
    return this.#model.size === 0 ? undefined : this.#prng.pick([...this.#model.values()])
  }
}

test('lanes keep what a map of arrays keeps', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'arrive',
      ['look', 'send', 'retry', 'end', 'cancel', 'pause', 'releaseUpstream'])
    for (let step = 0; step < STEPS; step++) {
      run[swarm.next()]()
      run.check()
    }
    run.drain()
  })
})

test('an order that passes 2^32 goes on', () => {
  const views = oneShard()
  const lanes = new Lanes(views, new JobSlots(views))
  const lane = lanes.find(1, 1, 0 as UpstreamSlot, 0 as Micros)
  lanes.at.nextOrder[lane] = 2 ** 32 - 2
  const slots = [0, 1, 2, 3].map((slot) => slot as JobSlot)
  for (const slot of slots) {
    lanes.place(lane, slot, false)
    lanes.link(lane, slot, false)
  }
  assert.deepEqual(slots.map((slot) => lanes.position(lane, slot)), [1, 2, 3, 4])
})

test('a lane is not left by more jobs than came', () => {
  const views = oneShard()
  const lanes = new Lanes(views, new JobSlots(views))
  const lane = lanes.find(1, 1, 0 as UpstreamSlot, 0 as Micros)
  assert.throws(() => lanes.dropReference(lane), /more references than it had/)
  lanes.addReference(lane)
  assert.throws(() => lanes.releaseAllOf(0 as UpstreamSlot), /named by a job/)
})

test('lanes take turns as in an array that is rotated', () => {
  forEachSeed(RUNS, (prng) => {
    const views = oneShard({ upstreamsMax: UPSTREAMS })
    const turns = new TurnLists(views)
    const model: LaneSlot[][] = Array.from({ length: UPSTREAMS }, () => [])
    const swarm = new Swarm(prng, 'add', ['remove', 'rotate'])
    for (let step = 0; step < STEPS; step++) {
      const operation = swarm.next()
      const upstream = prng.below(UPSTREAMS) as UpstreamSlot
      const list = model[upstream] as LaneSlot[]
      if (operation === 'add') {
        const lane = prng.below(views.limits.lanesMax) as LaneSlot
        if (model.some((other) => other.includes(lane))) continue
        turns.add(upstream, lane)
        list.push(lane)
      } else if (operation === 'remove') {
        const [lane] = list.splice(prng.below(list.length + 1), 1)
        if (lane !== undefined) turns.remove(upstream, lane)
      } else {
        turns.rotate(upstream)
        const lane = list.shift()
        if (lane !== undefined) list.push(lane)
      }
      assert.equal(turns.lanesActive, model.flat().length)
      assert.equal(turns.first(upstream), list[0] ?? NONE)
      const visited: LaneSlot[] = []
      turns.forEachLane(upstream, (lane) => { visited.push(lane) })
      assert.deepEqual(visited, list)
      assert.equal(turns.count(upstream), list.length)
      const active: number[] = []
      turns.forEachUpstream((other) => { active.push(other) })
      assert.deepEqual(active.toSorted(), model.flatMap((lanes, at) => lanes.length > 0 ? at : []))
    }
  })
})
