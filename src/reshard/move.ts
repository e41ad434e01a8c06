// A start with another number of shards, or with memory that cannot hold the image as it is, moves
// every job to the shard that its user belongs to now, into a new set of stores beside the old one.
// One shard of the old image is in memory at a time. Only when the new set is complete and durable
// does it become the present one; a crash before that leaves the old one unchanged.

import { type Location, NONE } from '../../shards/base/units.ts'
import { JOBS_FRESH } from '../../shards/memory/crash-notes.ts'
import type { ShardViews } from '../../shards/memory/layout.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import { LANE_ACCOUNT_QUEUE, LANE_SHARED } from '../../shards/pace/lanes.ts'
import {
  LOG_JOB_INLINE, LOG_JOB_SHARED, LOG_RESULT_INLINE, LOG_RESULT_SHARED, LOG_TEMPLATE,
} from '../../shards/store/job-log.ts'
import { JOB_FREE, JOB_WEBHOOK_PENDING, JOB_RETRYING } from '../../shards/store/job-slots.ts'
import { RECORD_KIND, segmentAt, wordAt } from '../../shards/store/log-record.ts'
import { shardOf } from '../base/hash.ts'
import { MovedShard, type Shortage, recordAt } from './moved-shard.ts'

/** Orders wrap around; relative to a lane's next order, all its jobs lie within half the range. */
const ORDER_MIDDLE = 2 ** 31
const STATE_MASK = 0xff
const FLAGS_SHIFT = 16
const RECEIVER_MASK = 0xffff
const SHARDS_BITS = 6

/** What does not fit, and where; `jobs` is the number placed before. */
export interface NoRoom extends Shortage {
  readonly shard: number
  readonly jobs: number
}

/** The shards of the new size, filled from those of an image. */
export class Move {
  readonly shards: readonly MovedShard[]
  /** The last account queue switch that all old shards with the upstream have applied. */
  readonly #switches = new Map<number, number>()

  constructor(limits: Limits) {
    this.shards = Array.from({ length: limits.shards }, () => new MovedShard(limits))
  }

  get jobs(): number {
    return this.shards.reduce((sum, { jobs }) => sum + jobs, 0)
  }

  /** Moves all jobs of a loaded shard. @param upstreams in its journal. */
  take(from: ShardViews, upstreams: Iterable<number>): NoRoom | undefined {
    const mover = new Mover(from, this.shards)
    const fresh = from.progress[JOBS_FRESH] as number
    for (let job = 0; job < fresh; job++) {
      if (!mover.move(job)) return this.#noRoom()
    }
    mover.moveIdleLanes()
    for (const upstream of upstreams) this.#takeUpstream(from, upstream)
    return undefined
  }

  finish(): void {
    for (const shard of this.shards) shard.finish()
  }

  /** Copies the old shards' words: the last send, and the switches that their lanes applied. */
  #takeUpstream(from: ShardViews, upstream: number): void {
    const lastSendUs = from.upstreams.lastSendUs[upstream] as number
    const switches = Math.min(from.upstreams.switches[upstream] as number,
      this.#switches.get(upstream) ?? Infinity)
    this.#switches.set(upstream, switches)
    for (const { views } of this.shards) {
      const words = views.upstreams
      words.lastSendUs[upstream] = Math.max(words.lastSendUs[upstream] as number, lastSendUs)
      words.switches[upstream] = switches
    }
  }

  #noRoom(): NoRoom {
    const shard = this.shards.findIndex(({ shortage }) => shortage !== undefined)
    const { shortage } = this.shards[shard] as MovedShard
    return { ...shortage as Shortage, shard, jobs: this.jobs }
  }
}

/** Moves the jobs of one old shard. */
class Mover {
  readonly #from: ShardViews
  readonly #to: readonly MovedShard[]
  /** By old lane and new shard. */
  readonly #lanes = new Map<number, number>()
  /** By old template and new shard. */
  readonly #templates = new Map<number, number>()

  constructor(from: ShardViews, to: readonly MovedShard[]) {
    this.#from = from
    this.#to = to
  }

  /** False when the shard that the job belongs to has no room. */
  move(job: number): boolean {
    const { jobs } = this.#from
    const word = jobs.state[job] as number
    const state = word & STATE_MASK
    if (state === JOB_FREE) return true
    const shard = shardOf(jobs.route[job] as number, this.#to.length)
    const to = this.#to[shard] as MovedShard
    const slot = to.job()
    if (slot === NONE) return false
    const at = this.#moveRecord(job, shard, slot)
    if (at === undefined) return false
    const result = jobs.resultWord[job] as number
    const isPending = (result >>> FLAGS_SHIFT & JOB_WEBHOOK_PENDING) !== 0
    const lane = state <= JOB_RETRYING || isPending ? this.#moveLane(job, shard, slot) : 0
    const receiver = state <= JOB_RETRYING ? result & RECEIVER_MASK : 0
    // A receiver keeps its slot; it only has to exist.
    if (lane === NONE || (receiver > 0 && to.receiver(this.#from, receiver - 1) === NONE)) {
      return false
    }
    const { jobs: moved } = to.views
    moved.route[slot] = jobs.route[job] as number
    moved.idHigh[slot] = jobs.idHigh[job] as number
    moved.idLow[slot] = jobs.idLow[job] as number
    moved.keyHigh[slot] = jobs.keyHigh[job] as number
    moved.keyLow[slot] = jobs.keyLow[job] as number
    moved.fingerprint[slot] = jobs.fingerprint[job] as number
    moved.location[slot] = at
    moved.lane[slot] = lane
    moved.order[slot] = jobs.order[job] as number
    moved.resultWord[slot] = result
    moved.owner[slot] = jobs.owner[job] as number
    moved.acceptedS[slot] = jobs.acceptedS[job] as number
    moved.timeUs[slot] = jobs.timeUs[job] as number
    moved.state[slot] = word
    return true
  }

  /**
   * Lanes without jobs that have learned a pace of their own. Their user is known only when their
   * next job arrives, so every shard gets a copy, if it has lanes to spare.
   */
  moveIdleLanes(): void {
    const { lanes, limits } = this.#from
    for (let lane = limits.upstreamsMax; lane < lanes.flags.length; lane++) {
      const flags = lanes.flags[lane] as number
      if ((flags & LANE_ACCOUNT_QUEUE) === 0 || (flags & LANE_SHARED) !== 0) continue
      const isMoved = this.#to.some((_, shard) => this.#lanes.has(keyOf(lane, shard)))
      if (isMoved) continue
      for (const to of this.#to) {
        if (to.lanesLeft > to.views.lanes.flags.length / 2) to.lane(this.#from, lane)
      }
    }
  }

  /** @returns the record's new location, NONE if the job has none; undefined without room. */
  #moveRecord(job: number, shard: number, slot: number): number | undefined {
    const at = this.#from.jobs.location[job] as number
    if (at === NONE) return NONE
    const to = this.#to[shard] as MovedShard
    const record = recordAt(this.#from, at)
    const kind = kindAt(this.#from, at)
    const isShared = kind === LOG_JOB_SHARED || kind === LOG_RESULT_SHARED
    const isInline = kind === LOG_JOB_INLINE || kind === LOG_RESULT_INLINE
    if (!isShared && !isInline) return NONE
    const word = isShared ? this.#moveTemplate(record.word, shard) : record.word
    if (isShared && word === NONE) return undefined
    const moved = to.append(kind, slot, word, record)
    return moved === NONE ? undefined : moved
  }

  #moveTemplate(template: number, shard: number): number {
    const key = keyOf(template, shard)
    const known = this.#templates.get(key)
    if (known !== undefined) return known
    const { hash, location } = this.#from.templates
    const record = recordAt(this.#from, location[template] as number)
    const to = this.#to[shard] as MovedShard
    const moved = to.template(LOG_TEMPLATE, hash[template] as number, record)
    if (moved !== NONE) this.#templates.set(key, moved)
    return moved
  }

  #moveLane(job: number, shard: number, slot: number): number {
    const { jobs, lanes, limits } = this.#from
    const to = this.#to[shard] as MovedShard
    const lane = jobs.lane[job] as number
    const isShared = ((lanes.flags[lane] as number) & LANE_SHARED) !== 0
    if (isShared || lane < limits.upstreamsMax) {
      const moved = isShared ? to.sharedLane(this.#from, lane, jobs.route[job] as number)
        : to.receiver(this.#from, lane)
      const order = (jobs.order[job] as number) - (lanes.nextOrder[lane] as number)
      if (moved !== NONE) to.place(slot, moved, (order + ORDER_MIDDLE) >>> 0)
      return moved
    }
    const key = keyOf(lane, shard)
    const known = this.#lanes.get(key)
    if (known !== undefined) return known
    const moved = to.lane(this.#from, lane)
    if (moved !== NONE) this.#lanes.set(key, moved)
    return moved
  }
}

const keyOf = (slot: number, shard: number): number => slot * 2 ** SHARDS_BITS + shard

/** The kind of a record; NONE for a dead one, which no job should refer to. */
function kindAt(views: ShardViews, at: number): number {
  const words = views.segments[segmentAt(at as Location)]?.u32
  return words?.[wordAt(at as Location) + RECORD_KIND] ?? NONE
}
