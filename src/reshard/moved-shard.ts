// A shard that is assembled from jobs of others: only the facts, in fresh memory, as recovery needs
// them. Recovery rebuilds everything derived.

import { type Location, NONE } from '../../shards/base/units.ts'
import { JOBS_FRESH, LANES_FRESH } from '../../shards/memory/crash-notes.ts'
import { laneGroupOf, laneGroups, lanesKeptForShared } from '../../shards/memory/lane-limits.ts'
import {
  type SegmentViews, type ShardViews, allocateShard, attachShard,
} from '../../shards/memory/layout.ts'
import { LOG_RECORD_HEADER_BYTES } from '../../shards/memory/limits.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import { groupKeyOf, LANE_FACTS } from '../../shards/pace/lanes.ts'
import { JobLog } from '../../shards/store/job-log.ts'
import {
  RECORD_LENGTH, RECORD_WORD, offsetAt, recordBytes, segmentAt, wordAt,
} from '../../shards/store/log-record.ts'

/** A resource of which the shard has less than the jobs need. */
export interface Shortage {
  readonly what: string
  readonly have: number
}

/** A record of another shard's log: its payload is bytes[start … end). */
export interface MovedRecord {
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
  readonly word: number
}

/** A job that gets a new order, by its place in its old lane. */
interface Placed {
  readonly slot: number
  readonly place: number
}

/** The record at a location of a shard's log. */
export function recordAt(views: ShardViews, at: number): MovedRecord {
  const { bytes, u32 } = views.segments[segmentAt(at as Location)] as SegmentViews
  const word = wordAt(at as Location)
  const offset = offsetAt(at as Location)
  return {
    bytes, start: offset + LOG_RECORD_HEADER_BYTES,
    end: offset + (u32[word + RECORD_LENGTH] as number), word: u32[word + RECORD_WORD] as number,
  }
}

/** The new shard. Methods return NONE, or false, when it is full; `shortage` says of what. */
export class MovedShard {
  readonly views: ShardViews
  shortage: Shortage | undefined
  /** Slots in use. */
  jobs = 0
  templates = 0
  readonly #log: JobLog
  readonly #lanesFrom: number
  readonly #groups: number
  #lanes = 0
  /** By upstream and group; the overflow lane where there is no other. */
  readonly #sharedLanes = new Map<number, number>()
  #sharedLeft: number
  /** By lane, the jobs of lanes that may receive jobs of several old lanes. */
  readonly #placed = new Map<number, Placed[]>()
  /** Slots of templates, by hash. */
  readonly #byHash = new Map<number, number[]>()

  constructor(limits: Limits) {
    this.views = attachShard(allocateShard(limits), limits)
    this.views.templates.location.fill(NONE)
    this.#log = new JobLog(this.views, { recover: false })
    this.#lanesFrom = limits.upstreamsMax
    this.#groups = laneGroups(limits)
    this.#sharedLeft = lanesKeptForShared(limits)
  }

  /** Allocates a job slot; the caller fills in its facts. */
  job(): number {
    const { length } = this.views.jobs.state
    return this.jobs < length ? this.jobs++ : this.#lacks('job slots', length)
  }

  /** Appends a record of a job or template. @returns its location. */
  append(kind: number, owner: number, word: number, { bytes, end, start }: MovedRecord): number {
    const { recordBytesMax } = this.views.limits
    if (recordBytes(end - start) > recordBytesMax) {
      return this.#lacks('bytes for the largest of its jobs', recordBytesMax)
    }
    if (!this.#log.admits(end - start)) {
      return this.#lacks('bytes for jobs and results', this.#log.usableBytes)
    }
    const at = this.#log.append(kind, owner, word, bytes, start, end, false)
    return at === NONE ? this.#lacks('bytes for jobs and results', this.#log.usableBytes) : at
  }

  /** The slot of a template with these bytes, created if new. @param kind of its record. */
  template(kind: number, hash: number, record: MovedRecord): number {
    const { hash: hashes, location } = this.views.templates
    const same = this.#byHash.get(hash) ?? []
    for (const slot of same) {
      const other = recordAt(this.views, location[slot] as number)
      const isEqual = record.bytes.compare(
        other.bytes, other.start, other.end, record.start, record.end) === 0
      if (isEqual) return slot
    }
    if (this.templates === location.length) return this.#lacks('templates', location.length)
    const slot = this.templates
    const at = this.append(kind, slot, 0, record)
    if (at === NONE) return NONE
    this.templates++
    this.#byHash.set(hash, [...same, slot])
    hashes[slot] = hash
    location[slot] = at
    return slot
  }

  /** Creates a lane with the facts of another shard's lane. */
  lane(from: ShardViews, lane: number): number {
    const { lanes } = this.views
    const to = this.#lanesFrom + this.#lanes
    if (to >= lanes.flags.length) return this.#lacks('lanes', lanes.flags.length)
    this.#lanes++
    lanes.keyHigh[to] = from.lanes.keyHigh[lane] as number
    lanes.keyLow[to] = from.lanes.keyLow[lane] as number
    this.#copyLane(from, lane, to)
    lanes.nextOrder[to] = from.lanes.nextOrder[lane] as number
    return to
  }

  /** Free lanes. */
  get lanesLeft(): number {
    return this.views.lanes.flags.length - this.#lanesFrom - this.#lanes
  }

  /** The lane of a webhook receiver, created from another shard's if it does not exist. */
  receiver(from: ShardViews, upstream: number): number {
    return this.#overflow(from, upstream, upstream)
  }

  /** The new shared lane of the user's accounts. @param lane their old shared lane. */
  sharedLane(from: ShardViews, lane: number, user: number): number {
    const { lanes } = this.views
    const upstream = from.lanes.upstream[lane] as number
    const group = laneGroupOf(user, this.#groups)
    const key = groupKeyOf(group, upstream)
    const known = this.#sharedLanes.get(key)
    if (known !== undefined) return known
    let moved: number
    if (this.#sharedLeft > 0 && this.lanesLeft > 0) {
      this.#sharedLeft--
      moved = this.lane(from, lane)
      lanes.keyHigh[moved] = group
      lanes.keyLow[moved] = key
    } else {
      moved = this.#overflow(from, lane, upstream)
    }
    if (moved !== NONE) this.#sharedLanes.set(key, moved)
    return moved
  }

  /**
   * Adds a job to a lane that may receive jobs of several old lanes: it gets a new order.
   * @param place in its old lane.
   */
  place(slot: number, lane: number, place: number): void {
    const placed = this.#placed.get(lane)
    if (placed === undefined) this.#placed.set(lane, [{ slot, place }])
    else placed.push({ slot, place })
  }

  /** Call it when all jobs have been moved. */
  finish(): void {
    const { jobs, lanes, progress } = this.views
    for (const [lane, placed] of this.#placed) {
      placed.sort((one, other) => one.place - other.place)
      for (const [order, { slot }] of placed.entries()) jobs.order[slot] = order
      lanes.nextOrder[lane] = placed.length
    }
    progress[JOBS_FRESH] = this.jobs
    progress[LANES_FRESH] = this.#lanes
  }

  #overflow(from: ShardViews, lane: number, upstream: number): number {
    if (upstream >= this.#lanesFrom) return this.#lacks('upstreams', this.#lanesFrom)
    if (this.views.lanes.flags[upstream] === 0) this.#copyLane(from, lane, upstream)
    return upstream
  }

  #copyLane(from: ShardViews, lane: number, to: number): void {
    const { lanes } = this.views
    lanes.upstream[to] = from.lanes.upstream[lane] as number
    lanes.intervalNs[to] = from.lanes.intervalNs[lane] as number
    lanes.concurrentMax[to] = from.lanes.concurrentMax[lane] as number
    lanes.baseUs[to] = from.lanes.baseUs[lane] as number
    lanes.lastSendUs[to] = from.lanes.lastSendUs[lane] as number
    lanes.user[to] = from.lanes.user[lane] as number
    lanes.flags[to] = (from.lanes.flags[lane] as number) & LANE_FACTS
  }

  #lacks(what: string, have: number): typeof NONE {
    this.shortage ??= { what, have }
    return NONE
  }
}
