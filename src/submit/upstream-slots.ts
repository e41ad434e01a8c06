// Assigns slots of the shared table to upstreams and webhook receivers. The table is bounded, and a
// user has a share of it: the slots of origins that its jobs were the first to name. If none is
// left, those unused for longest are reclaimed from the shards; meanwhile a new origin is refused.
// An origin that no job names any more and that nothing was ever sent to has no state to keep, and
// is reclaimed at the next scan. A slot is free again only when every shard has confirmed that it
// holds no reference to it.

import { assert } from '../../shards/base/assert.ts'
import { type Micros, msToUs, NONE, type UpstreamSlot } from '../../shards/base/units.ts'
import { HeldCounts } from '../../shards/memory/held-counts.ts'
import { intervalNs } from '../../shards/memory/interval.ts'
import {
  KIND_RECEIVER, KIND_UPSTREAM, type SharedViews, UPSTREAM_ACCOUNT_QUEUES, UPSTREAM_BASE_F64,
  UPSTREAM_CONCURRENT_MAX, UPSTREAM_IN_FLIGHT, UPSTREAM_INTERVAL_NS, UPSTREAM_KIND,
  UPSTREAM_RECORD_WORDS, UPSTREAM_TIMEOUT_MS, UPSTREAM_TRAIL_F64,
} from '../../shards/memory/layout.ts'
import {
  IDLE_KEEP_MS_MIN, ORIGIN_BYTES_MAX, UPSTREAM_NAME_BYTES,
} from '../../shards/memory/limits.ts'
import {
  makeShareCounts, Share, type ShareCounts, type ShareWarning,
} from '../../shards/memory/share.ts'
import type { KnownUpstreams, UpstreamSettings } from '../../shards/wire/contract.ts'
import type { HolderHash } from '../base/hash.ts'
import {
  UPSTREAM_LOOKS_PER_TICK_MAX, UPSTREAM_RELEASES_PER_REFUSAL_MAX, UPSTREAM_RELEASES_PER_TICK_MAX,
  UPSTREAM_UNUSED_MS_MIN,
} from '../base/limits.ts'
import { DOOR_POOLS } from '../base/pools.ts'
import type { ResolveUpstream } from '../config/door-settings.ts'
import type { LimitReason } from './admission.ts'

/** KIND_UPSTREAM or KIND_RECEIVER. */
export type UpstreamKind = typeof KIND_UPSTREAM | typeof KIND_RECEIVER

/** What the table depends on. */
export interface UpstreamsOptions {
  readonly shared: SharedViews
  readonly slotsMax: number
  readonly shards: number
  readonly settingsOf: ResolveUpstream
  /** Asks every shard to release the slot, or none of them: false when a ring has no room. */
  readonly release: (request: number, slot: UpstreamSlot) => boolean
  /** Whether no shard has a job that names it, or has ever sent anything to it. */
  readonly isUnused: (slot: UpstreamSlot) => boolean
  readonly warn?: ShareWarning
}

/** An origin and its slot. */
export interface UpstreamEntry {
  readonly slot: UpstreamSlot
  readonly origin: string
  readonly kind: UpstreamKind
  /** The user whose job was the first to name it; null for one from a journal. */
  readonly holder: HolderHash | null
  /** When a job named it last, or when its release was tried last. */
  usedUs: Micros
  /** Shards that have not yet answered a release; 0 when none is pending. */
  answersDue: number
  /** Some shard still uses it. */
  busy: boolean
  /** Number of releases; distinguishes answers to this one from those to an earlier one. */
  releases: number
}

/** The origins that have slots, as plain data. */
export interface UpstreamTable {
  readonly free: number[]
  /** Slots in use: their total, and those of each holder. */
  readonly pool: ShareCounts
  readonly held: Uint32Array
  /** By slot. */
  readonly entries: (UpstreamEntry | undefined)[]
  /** By the upstream's kind. */
  readonly byOrigin: readonly [Map<string, UpstreamEntry>, Map<string, UpstreamEntry>]
  /** A circular list of all entries, ordered by `usedUs`; index `slotsMax` is its head. */
  readonly next: Uint32Array
  readonly prev: Uint32Array
}

/** A table of free slots. */
export const makeUpstreamTable = (slotsMax: number): UpstreamTable => ({
  free: Array.from({ length: slotsMax }, (_, at) => slotsMax - 1 - at),
  pool: makeShareCounts(),
  held: HeldCounts.make(slotsMax),
  entries: Array.from({ length: slotsMax }, () => undefined),
  byOrigin: [new Map(), new Map()],
  next: new Uint32Array(slotsMax + 1).fill(slotsMax),
  prev: new Uint32Array(slotsMax + 1).fill(slotsMax),
})

const SLOT_BITS = 16
const NAME_LENGTH_BYTES = UPSTREAM_NAME_BYTES - ORIGIN_BYTES_MAX
const IDLE_KEEP_US = msToUs(IDLE_KEEP_MS_MIN)
const UNUSED_US_MIN = msToUs(UPSTREAM_UNUSED_MS_MIN)

/** The table of origins; writes the upstream records for the main thread. */
export class Upstreams {
  readonly #options: UpstreamsOptions
  readonly #free: number[]
  readonly #pool: Share
  readonly #held: HeldCounts
  readonly #entries: (UpstreamEntry | undefined)[]
  readonly #byOrigin: UpstreamTable['byOrigin']
  readonly #next: Uint32Array
  readonly #prev: Uint32Array
  /** The slot to be scanned next. */
  #hand = 0

  /** @param table with `slotsMax` slots. */
  constructor(options: UpstreamsOptions, table = makeUpstreamTable(options.slotsMax)) {
    assert(options.slotsMax <= 2 ** SLOT_BITS, 'an upstream slot has more than 16 bits')
    this.#options = options
    this.#free = table.free
    const { alpha, name } = DOOR_POOLS.upstreamSlots
    this.#pool = new Share({ alpha, name, bound: options.slotsMax }, options.warn, table.pool)
    this.#held = new HeldCounts(table.held)
    this.#entries = table.entries
    this.#byOrigin = table.byOrigin
    this.#next = table.next
    this.#prev = table.prev
  }

  /** Slots in use, those being released included. */
  get size(): number {
    return this.#options.slotsMax - this.#free.length
  }

  /**
   * The slot of an origin, newly assigned to this user if it has none. NONE when the table is full
   * or the user has its share; then slots are reclaimed, and shortage() says which it was.
   */
  claim(origin: string, kind: UpstreamKind, user: HolderHash, nowUs: Micros): UpstreamSlot {
    const entry = this.#byOrigin[kind].get(origin)
    if (entry !== undefined) {
      // A shard reads the release before the job, and starts afresh if it had released the slot.
      if (entry.answersDue > 0) entry.busy = true
      // Already used at this very time, so it is in its right place in the list.
      if (entry.usedUs === nowUs) return entry.slot
      this.#unlink(entry.slot)
      this.#append(entry, nowUs)
      return entry.slot
    }
    if (!this.#pool.take(this.#held.of(user.route, user.high), 1, nowUs)) {
      this.#askBack(nowUs)
      return NONE as UpstreamSlot
    }
    const slot = this.#free.pop()
    assert(slot !== undefined, 'the slots in use were miscounted')
    this.#held.add(user.route, user.high, 1)
    this.#add(slot as UpstreamSlot, origin, kind, { route: user.route, high: user.high }, nowUs)
    return slot as UpstreamSlot
  }

  /** Why claim() has just returned NONE, in the terms of a 429. */
  shortage(user: HolderHash): { reason: LimitReason; limit: number; current: number } {
    const held = this.#held.of(user.route, user.high)
    return this.#pool.refusal(held, 1) === 'share'
      ? { reason: 'upstreams_share', limit: Math.ceil(this.#pool.threshold), current: held }
      : { reason: 'upstreams', limit: this.#pool.bound, current: this.#pool.used }
  }

  /** Scans some slots, and reclaims those that have no state to keep. */
  tick(nowUs: Micros): void {
    const { isUnused, slotsMax } = this.#options
    if (this.size === 0) return
    let left = UPSTREAM_RELEASES_PER_TICK_MAX
    for (let looks = Math.min(slotsMax, UPSTREAM_LOOKS_PER_TICK_MAX); looks > 0 && left > 0;
      looks--) {
      this.#hand = (this.#hand + 1) % slotsMax
      const entry = this.#entries[this.#hand]
      if (entry === undefined || entry.answersDue > 0) continue
      if (nowUs - entry.usedUs < UNUSED_US_MIN || !isUnused(entry.slot)) continue
      if (!this.#ask(entry, nowUs)) return
      left--
    }
  }

  /** Handles a shard's answer to a release; ignores answers to one that was superseded. */
  released(request: number, done: boolean): void {
    const entry = this.#entries[request & (2 ** SLOT_BITS - 1)]
    if (entry === undefined || entry.answersDue === 0) return
    if (requestOf(entry.slot, entry.releases) !== request) return
    entry.answersDue--
    if (!done) entry.busy = true
    if (entry.answersDue > 0 || entry.busy) return
    this.#unlink(entry.slot)
    const names = this.#byOrigin[entry.kind]
    // An origin that a journal has in two slots is in the map with one of them.
    if (names.get(entry.origin) === entry) names.delete(entry.origin)
    this.#entries[entry.slot] = undefined
    this.#free.push(entry.slot)
    this.#pool.give(1)
    if (entry.holder !== null) this.#held.drop(entry.holder.route, entry.holder.high, 1)
  }

  /** Restores slots from a journal, with what was learned about them; only for an empty table. */
  adopt(known: KnownUpstreams, nowUs: Micros): void {
    const { shared, slotsMax } = this.#options
    assert(this.size === 0, 'the table of upstreams is in use already')
    this.#free.length = 0
    for (let slot = slotsMax - 1; slot >= 0; slot--) {
      const facts = known.get(slot)
      if (facts === undefined) {
        this.#free.push(slot)
        continue
      }
      this.#pool.adopt(1)
      this.#add(slot as UpstreamSlot, facts.origin, facts.kind === KIND_RECEIVER
        ? KIND_RECEIVER : KIND_UPSTREAM, null, nowUs)
      const at = slot * UPSTREAM_RECORD_WORDS
      shared.upstreamTimesF64[at / 2 + UPSTREAM_BASE_F64] = facts.baseUs
      shared.upstreams[at + UPSTREAM_INTERVAL_NS] = facts.intervalNs
      shared.upstreams[at + UPSTREAM_CONCURRENT_MAX] = facts.concurrentMax
      shared.upstreams[at + UPSTREAM_ACCOUNT_QUEUES] = facts.accountQueues
    }
  }

  /** The origin in a slot, for the log. */
  originOf(slot: number): string {
    return this.#entries[slot]?.origin ?? 'unknown'
  }

  #add(
    slot: UpstreamSlot, origin: string, kind: UpstreamKind, holder: HolderHash | null,
    nowUs: Micros,
  ): void {
    const entry: UpstreamEntry = {
      slot, origin, kind, holder, usedUs: nowUs, answersDue: 0, busy: false, releases: 0,
    }
    this.#entries[slot] = entry
    this.#byOrigin[kind].set(origin, entry)
    this.#append(entry, nowUs)
    const role = kind === KIND_RECEIVER ? 'receiver' : 'upstream'
    this.#writeName(slot, origin)
    this.#writeRecord(slot, this.#options.settingsOf(origin, role), kind)
  }

  /**
   * Asks the shards to release the slots unused for longest. Each goes to the end of the list: if a
   * shard still needs it, or never answers, it is tried again after being idle as long.
   */
  #askBack(nowUs: Micros): void {
    const end = this.#options.slotsMax
    for (let tries = 0; tries < UPSTREAM_RELEASES_PER_REFUSAL_MAX; tries++) {
      const entry = this.#entries[this.#next[end] as number]
      if (entry === undefined || nowUs - entry.usedUs < IDLE_KEEP_US) return
      if (!this.#ask(entry, nowUs)) return
    }
  }

  /** Asks the shards to release a slot; false when a ring has no room for the request. */
  #ask(entry: UpstreamEntry, nowUs: Micros): boolean {
    const releases = (entry.releases + 1) & (2 ** SLOT_BITS - 1)
    if (!this.#options.release(requestOf(entry.slot, releases), entry.slot)) return false
    entry.releases = releases
    entry.answersDue = this.#options.shards
    entry.busy = false
    this.#unlink(entry.slot)
    this.#append(entry, nowUs)
    return true
  }

  #append(entry: UpstreamEntry, nowUs: Micros): void {
    const end = this.#options.slotsMax
    const last = this.#prev[end] as number
    entry.usedUs = nowUs
    this.#next[last] = entry.slot
    this.#prev[entry.slot] = last
    this.#next[entry.slot] = end
    this.#prev[end] = entry.slot
  }

  #unlink(slot: number): void {
    const next = this.#next[slot] as number
    const prev = this.#prev[slot] as number
    this.#next[prev] = next
    this.#prev[next] = prev
  }

  /** For the journals: no other code needs the origin of a slot. */
  #writeName(slot: UpstreamSlot, origin: string): void {
    const { upstreamNames: names } = this.#options.shared
    const at = slot * UPSTREAM_NAME_BYTES
    const length = names.write(origin, at + NAME_LENGTH_BYTES, ORIGIN_BYTES_MAX)
    assert(length === origin.length, 'an origin is not ASCII, or exceeds its limit')
    names.writeUInt16LE(length, at)
  }

  /** No other thread knows the slot yet, so the order of these stores does not matter. */
  #writeRecord(slot: UpstreamSlot, settings: UpstreamSettings, kind: UpstreamKind): void {
    const { upstreams: words, upstreamTimesF64: times } = this.#options.shared
    const at = slot * UPSTREAM_RECORD_WORDS
    times[at / 2 + UPSTREAM_BASE_F64] = 0
    times[at / 2 + UPSTREAM_TRAIL_F64] = 0
    words[at + UPSTREAM_INTERVAL_NS] = intervalNs(settings.pacePerSecond)
    words[at + UPSTREAM_CONCURRENT_MAX] = settings.concurrentMax
    words[at + UPSTREAM_IN_FLIGHT] = 0
    words[at + UPSTREAM_ACCOUNT_QUEUES] = settings.accountQueues ? 1 : 0
    words[at + UPSTREAM_KIND] = kind
    words[at + UPSTREAM_TIMEOUT_MS] = settings.timeoutMs
  }
}

const requestOf = (slot: number, releases: number): number =>
  (releases << SLOT_BITS | slot) >>> 0
