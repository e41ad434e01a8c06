// Model: for each upstream an array of places, each with the lanes of one tenant or with one other
// lane; a served place goes to the end, and in it the served lane.
// Method: lanes with few tenants and few tenants' hashes, so that places have many lanes or one,
// come and go and are served at random, also from a successor that took over.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { type LaneSlot, NONE, type UpstreamSlot } from '../../../../shards/base/units.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import { LANE_ACTIVE, LANE_TENANT, LANE_USED } from '../../../../shards/pace/lanes.ts'
import { RoundRobin } from '../../../../shards/pace/round-robin.ts'
import { oneShard } from '../../../support/shard-memory.ts'
import { Swarm, forEachSeed } from '../../../support/swarm.ts'

const RUNS = 400
const STEPS = 250
const UPSTREAMS = 4

class Run {
  readonly #prng: Prng
  readonly #views: ShardViews
  readonly #tenants: number
  readonly #tenantChance: number
  readonly #model: LaneSlot[][][] = Array.from({ length: UPSTREAMS }, () => [])
  #turns: RoundRobin

  constructor(prng: Prng) {
    this.#prng = prng
    this.#views = oneShard({ upstreamsMax: UPSTREAMS })
    this.#turns = new RoundRobin(this.#views)
    this.#tenants = prng.between(1, 6)
    this.#tenantChance = prng.pick([0, 0.5, 1])
  }

  add(): void {
    const { lanes, limits } = this.#views
    const lane = this.#prng.below(limits.lanesMax) as LaneSlot
    if (this.#model.flat(2).includes(lane)) return
    const upstream = this.#drawUpstream()
    const isTenants = this.#prng.chance(this.#tenantChance)
    lanes.upstream[lane] = upstream
    lanes.flags[lane] = LANE_USED | LANE_ACTIVE | (isTenants ? LANE_TENANT : 0)
    // Users outside of tenants may have a tenant's hash, and tenants neighbouring ones.
    lanes.user[lane] = 0xfffffffe + this.#prng.below(this.#tenants)
    this.#turns.add(upstream, lane)
    const places = this.#model[upstream] as LaneSlot[][]
    const place = places.find(([front]) => isTenants && front !== undefined &&
      lanes.flags[front] === lanes.flags[lane] && lanes.user[front] === lanes.user[lane])
    if (place === undefined) places.push([lane])
    else place.push(lane)
  }

  remove(): void {
    const upstream = this.#drawUpstream()
    const places = this.#model[upstream] as LaneSlot[][]
    if (places.length === 0) return
    const place = this.#prng.pick(places)
    const [lane] = place.splice(this.#prng.below(place.length), 1)
    if (place.length === 0) places.splice(places.indexOf(place), 1)
    this.#turns.remove(upstream, lane as LaneSlot)
    this.#views.lanes.flags[lane as number] = LANE_USED
  }

  rotate(): void {
    const upstream = this.#drawUpstream()
    this.#turns.rotate(upstream)
    const places = this.#model[upstream] as LaneSlot[][]
    const place = places.shift()
    if (place === undefined) return
    place.push(place.shift() as LaneSlot)
    places.push(place)
  }

  handOver(): void {
    const baton = structuredClone(this.#turns.handOver())
    this.#turns = new RoundRobin(this.#views)
    this.#turns.takeOver(baton)
  }

  check(): void {
    const turns = this.#turns
    assert.equal(turns.lanesActive, this.#model.flat(2).length)
    for (const [at, places] of this.#model.entries()) {
      const upstream = at as UpstreamSlot
      assert.equal(turns.turns(upstream), places.length)
      assert.equal(turns.first(upstream), places[0]?.[0] ?? NONE)
      const visited: LaneSlot[] = []
      turns.forEachLane(upstream, (lane) => { visited.push(lane) })
      assert.deepEqual(visited, places.flat())
    }
    const active: number[] = []
    turns.forEachUpstream((other) => { active.push(other) })
    assert.deepEqual(active.toSorted(),
      this.#model.flatMap((places, at) => places.length > 0 ? at : []))
  }

  #drawUpstream(): UpstreamSlot {
    return this.#prng.below(UPSTREAMS) as UpstreamSlot
  }
}

test('lanes take turns as in arrays that are rotated, those of a tenant in one place', () => {
  forEachSeed(RUNS, (prng) => {
    const run = new Run(prng)
    const swarm = new Swarm(prng, 'add', ['remove', 'rotate', 'handOver'])
    for (let step = 0; step < STEPS; step++) {
      run[swarm.next()]()
      run.check()
    }
  })
})
