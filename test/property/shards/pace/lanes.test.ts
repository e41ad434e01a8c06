// Model: a Map from account and upstream to an array of jobs, or from a group that shares a lane.
// Shares are counted anew from the Map each time.
// Method: random arrivals, sends, retries, cancellations, ends and pauses, with few slots so that
// lanes run short; after each step lines, references and siblings must agree, and a lane that was
// given back must have been the longest idle of those that had nothing left to remember.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import {
  type JobSlot, type LaneSlot, type Micros, NONE, type UpstreamSlot, msToUs,
} from '../../../../shards/base/units.ts'
import {
  laneGroups, LANES_SHARED_ALPHA, LANES_UPSTREAM_ALPHA, LANES_USER_ALPHA, lanesForAccounts,
  lanesKeptForShared, SHARED_LANE_LOOKS_MAX,
} from '../../../../shards/memory/lane-limits.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import { IDLE_KEEP_MS_MIN } from '../../../../shards/memory/limits.ts'
import { Lanes } from '../../../../shards/pace/lanes.ts'
import { JobSlots } from '../../../../shards/store/job-slots.ts'
import { oneShard } from '../../../support/shard-memory.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 300
const STEPS = 250
const UPSTREAMS = 4
const JOBS = 80

type Kind = 'own' | 'shared' | 'overflow'

interface ModelLane {
  readonly lane: LaneSlot
  readonly kind: Kind
  readonly upstream: UpstreamSlot
  /** Whose own lane it is; of a shared one, who had the last turn. */
  user: number
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
  readonly #jobs: JobSlots
  readonly #accounts: number
  readonly #users: number
  readonly #freeJobs = Array.from({ length: JOBS }, (_, slot) => slot as JobSlot)
  /** By key and upstream, group and upstream, or upstream alone. */
  readonly #model = new Map<string, ModelLane>()
  readonly #inFlight: { slot: JobSlot; at: ModelLane }[] = []
  #nowUs = 10_000_000_000 as Micros
  #idles = 0

  constructor(prng: Prng) {
    this.#prng = prng
    // So few that they run short, or so many that there are several groups.
    const lanes = prng.chance(0.7) ? prng.between(1, 12) : prng.between(40, 100)
    this.#views = oneShard({
      jobsMax: JOBS, upstreamsMax: UPSTREAMS, lanesMax: UPSTREAMS + lanes,
    })
    this.#jobs = new JobSlots(this.#views)
    this.#lanes = new Lanes(this.#views, this.#jobs)
    this.#accounts = prng.between(1, prng.chance(0.5) ? 10 : 200)
    this.#users = prng.between(1, this.#accounts)
  }

  arrive(): void {
    const slot = this.#freeJobs.pop()
    if (slot === undefined) return
    const { at, user } = this.#find()
    this.#jobs.at.route[slot] = user
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
    if (at === undefined || at.line.length === 0) return
    const slot = this.#takeNext(at)
    assert.equal(this.#lanes.next(at.lane), slot)
    this.#lanes.countTurn(at.lane, slot)
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
    assert.equal(lanes.counts.used, this.#of(({ kind }) => kind !== 'overflow').length)
    for (const { lane, kind, upstream, line, references, hasHoles } of this.#model.values()) {
      assert.equal(lanes.isShared(lane), kind !== 'own')
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

  #find(): { at: ModelLane; user: number } {
    const upstream = this.#prng.below(UPSTREAMS) as UpstreamSlot
    const account = this.#prng.below(this.#accounts)
    const user = Math.imul(account % this.#users, 0x9e3779b1) >>> 0
    // Accounts of one hash word, and of neighbouring ones: the index must compare both.
    const lane = this.#lanes.find(account, account >> 1, upstream, user, this.#nowUs)
    const at = this.#expect(`${account}/${upstream}`, upstream, user, lane)
    assert.equal(lane, at.lane)
    return { at, user }
  }

  /** The lane that the account has to have; a new one is whichever was free, and nobody's. */
  #expect(key: string, upstream: UpstreamSlot, user: number, lane: LaneSlot): ModelLane {
    const known = this.#model.get(key)
    if (known !== undefined) return known
    const groupKey = `group ${user % laneGroups(this.#views.limits)}/${upstream}`
    const overflowKey = `overflow/${upstream}`
    const group = this.#model.get(groupKey)
    if (group !== undefined && group.references > 0) return group
    const overflow = this.#model.get(overflowKey)
    if (overflow !== undefined && overflow.references > 0) return overflow
    if (!this.#mayOwn(upstream, user)) this.#reclaim()
    if (this.#mayOwn(upstream, user)) return this.#add(key, 'own', lane, upstream, user)
    const present = this.#model.get(groupKey)
    if (present !== undefined) return present
    if (this.#mayShare(upstream)) return this.#add(groupKey, 'shared', lane, upstream, 0)
    return overflow ??
      this.#add(overflowKey, 'overflow', upstream as number as LaneSlot, upstream, 0)
  }

  #of(matches: (at: ModelLane) => boolean): ModelLane[] {
    return [...this.#model.values()].filter(matches)
  }

  #mayOwn(upstream: UpstreamSlot, user: number): boolean {
    const { limits } = this.#views
    const free = lanesForAccounts(limits) - lanesKeptForShared(limits) -
      this.#of(({ kind }) => kind !== 'overflow').length
    const own = this.#of(({ kind }) => kind === 'own')
    return free > 0 &&
      own.filter((at) => at.upstream === upstream).length < LANES_UPSTREAM_ALPHA * free &&
      own.filter((at) => at.user === user).length < LANES_USER_ALPHA * free
  }

  #mayShare(upstream: UpstreamSlot): boolean {
    const free = lanesForAccounts(this.#views.limits) -
      this.#of(({ kind }) => kind !== 'overflow').length
    const held = this.#of((at) => at.kind === 'shared' && at.upstream === upstream).length
    return held < LANES_SHARED_ALPHA * free
  }

  #reclaim(): void {
    const [spare] = [...this.#model].filter(([, at]) => at.kind !== 'overflow' && this.#mayGo(at))
      .toSorted(([, a], [, b]) => a.idleAs - b.idleAs)
    if (spare !== undefined) this.#model.delete(spare[0])
  }

  /** Takes the job out of the line whose turn it is. */
  #takeNext(at: ModelLane): JobSlot {
    const { route } = this.#jobs.at
    const userOf = (slot: JobSlot): number => route[slot] as number
    if (at.kind === 'own') return at.line.shift() as JobSlot
    const users = at.line.slice(0, SHARED_LANE_LOOKS_MAX).map(userOf).toSorted((a, b) => a - b)
    at.user = users.find((user) => user > at.user) ?? users[0] as number
    const place = at.line.findIndex((slot) => userOf(slot) === at.user)
    if (place > 0) at.hasHoles = true
    return at.line.splice(place, 1)[0] as JobSlot
  }

  #mayGo({ references, lastSendUs, eligibleUs }: ModelLane): boolean {
    if (references > 0) return false
    const idleUs = this.#nowUs - lastSendUs
    return (lastSendUs === 0 || idleUs >= msToUs(IDLE_KEEP_MS_MIN)) && eligibleUs <= this.#nowUs
  }

  #add(
    key: string, kind: Kind, lane: LaneSlot, upstream: UpstreamSlot, user: number,
  ): ModelLane {
    const isTaken = this.#of((at) => at.lane === lane).length > 0
    assert.equal(isTaken, false, 'a lane that is in use was given away')
    const at: ModelLane = {
      lane, kind, upstream, user, line: [], references: 0, lastSendUs: 0, eligibleUs: 0,
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
  const lane = lanes.find(1, 1, 0 as UpstreamSlot, 1, 0 as Micros)
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
  const lane = lanes.find(1, 1, 0 as UpstreamSlot, 1, 0 as Micros)
  assert.throws(() => lanes.dropReference(lane), /more references than it had/)
  lanes.addReference(lane)
  assert.throws(() => lanes.releaseAllOf(0 as UpstreamSlot), /named by a job/)
})
