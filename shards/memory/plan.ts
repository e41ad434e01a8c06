// What --memory pays for: the sizes of a shard's tables, rings and log, and their sum.
// Thread: any. Memory: none; decides the sizes of all of it.
// Never: allocates.

import { assert } from '../base/assert.ts'
import { type Bytes, KIB, MIB, alignUp, powerOfTwoAtLeast } from '../base/units.ts'
import {
  BODY_LIMIT_BYTES_MAX, IDEMPOTENT_KEY_BYTES_MAX, JOB_HEADERS_BYTES_MAX, JOB_HEADERS_COUNT_MAX,
  JOBS_PER_PAGE, KEYS_MAX, LANES_PER_PAGE, SEGMENTS_MAX, TEMPLATES_PER_PAGE, UPSTREAM_NAME_BYTES,
  UPSTREAM_RECORD_BYTES, URL_BYTES_MAX, USER_ID_BYTES_MAX,
} from './limits.ts'

export const JOB_SLOT_BYTES = 76
export const LANE_SLOT_BYTES = 84
export const TEMPLATE_SLOT_BYTES = 16
/** An entry of the lanes' timing wheel: two links and a due time. */
export const WHEEL_ITEM_BYTES = 16
export const INDEX_ENTRY_BYTES = 4
/** Entries per thousand slots, so that an open-addressing index is at most 80 % full. */
export const INDEX_ENTRIES_PER_MILLE = 1250
/** Bytes of an upstream that all shards share. */
export const UPSTREAM_SHARED_BYTES = UPSTREAM_RECORD_BYTES + UPSTREAM_NAME_BYTES
/** A shard's words about an upstream that other shards read. */
export const UPSTREAM_SHARD_WORDS_BYTES = 7 * 4
/** A shard's private words about an upstream: links, counts, last send, and its wheel entry. */
export const UPSTREAM_PRIVATE_BYTES = 7 * 4 + 8 + WHEEL_ITEM_BYTES
export const UPSTREAMS_MAX = 16_384
export const UPSTREAMS_MIN = 256
export const LANES_PER_SHARD_MAX = 2_097_152
/** The record size for which job slots are planned; with smaller jobs, slots run out first. */
export const RECORD_BYTES_PLANNED = 192
/** One lane is planned for this many job slots, in addition to each upstream's overflow lane. */
export const LANE_PER_JOBS = 4

export const SEGMENT_BYTES_MAX = 8 * MIB
/** A segment's words: live bytes, used bytes, state, journalled bytes. */
export const SEGMENT_WORDS_BYTES = 4 * 4
/** The aim: enough segments that the one being cleaned is a small part of the log. */
export const SEGMENTS_AIM = 64
export const SEGMENTS_MIN = 8
/** A shard's counts of jobs by key. */
export const KEY_COUNTS_BYTES = 4 * (KEYS_MAX + 1)
/** A shard's bell, its statistics, ring heads and tails, and the gaps between regions. */
export const LAYOUT_SLACK_BYTES = 16 * KIB

/** What the user chose, in bytes and counts. */
export interface MemorySettings {
  readonly memoryBytes: number
  readonly shards: number
  readonly bodyBytesMax: number
  readonly responseBytesMax: number
}

/** All sizes derived from MemorySettings; passed to every shard as plain data. */
export interface Limits extends MemorySettings {
  /** The largest record in a ring or in the log, its header included. */
  readonly recordBytesMax: number
  readonly ringBytes: number
  readonly segmentBytes: number
  readonly segmentsMax: number
  readonly jobsMax: number
  readonly lanesMax: number
  readonly templatesMax: number
  readonly upstreamsMax: number
}

/** What a job's record holds besides its body: template, msgpack framing and headers. */
const RECORD_OVERHEAD_BYTES =
  2 * URL_BYTES_MAX + // url, webhook_url
  JOB_HEADERS_BYTES_MAX + JOB_HEADERS_COUNT_MAX * 10 + // header text and its framing
  USER_ID_BYTES_MAX + IDEMPOTENT_KEY_BYTES_MAX +
  KIB // fixed fields

/** The bytes of one shard, part by part, in layout order. */
export function shardParts(limits: Limits): ReadonlyArray<readonly [string, Bytes]> {
  const indexBytes = (slots: number): number => indexEntries(slots) * INDEX_ENTRY_BYTES
  const parts: [string, number][] = [
    ['rings', 2 * limits.ringBytes],
    ['job slots', limits.jobsMax * JOB_SLOT_BYTES],
    ['job indexes', 2 * indexBytes(limits.jobsMax)],
    ['jobs by key', KEY_COUNTS_BYTES],
    ['lanes', limits.lanesMax * (LANE_SLOT_BYTES + WHEEL_ITEM_BYTES) + indexBytes(limits.lanesMax)],
    ['templates', limits.templatesMax * TEMPLATE_SLOT_BYTES + indexBytes(limits.templatesMax)],
    ['upstreams', limits.upstreamsMax * (UPSTREAM_PRIVATE_BYTES + UPSTREAM_SHARD_WORDS_BYTES)],
    ['journal marks', journalMarksBytes(limits)],
    ['job log', limits.segmentsMax * (limits.segmentBytes + SEGMENT_WORDS_BYTES)],
    ['bell, statistics, alignment', LAYOUT_SLACK_BYTES],
  ]
  return parts.map(([name, bytes]) => [name, bytes as Bytes] as const)
}

/** One byte for each page of slots, each upstream and each segment. */
const journalMarksBytes = (limits: Limits): Bytes =>
  (Math.ceil(limits.jobsMax / JOBS_PER_PAGE) + Math.ceil(limits.lanesMax / LANES_PER_PAGE) +
    Math.ceil(limits.templatesMax / TEMPLATES_PER_PAGE) + limits.upstreamsMax +
    limits.segmentsMax) as Bytes

/** Entries of an index over `slots`: 1000 → 1250; never fewer than slots + 1. */
export const indexEntries = (slots: number): number =>
  Math.max(slots + 1, Math.ceil((slots * INDEX_ENTRIES_PER_MILLE) / 1000))

/** The bytes of one shard. */
export function shardBytes(limits: Limits): Bytes {
  let sum = 0
  for (const [, bytes] of shardParts(limits)) sum += bytes
  return sum as Bytes
}

/** The bytes of all shards and their shared table; at most `limits.memoryBytes`. */
export const plannedBytes = (limits: Limits): Bytes =>
  (limits.shards * shardBytes(limits) + limits.upstreamsMax * UPSTREAM_SHARED_BYTES) as Bytes

/**
 * Sizes for the settings, or the least memory that is enough. A shard's log has at most
 * SEGMENTS_MAX segments (32 GiB), so more memory needs more shards; the rest stays unused.
 * Asserts that the body and response limits are at most BODY_LIMIT_BYTES_MAX.
 */
export function planMemory(settings: MemorySettings):
  { ok: true; limits: Limits } | { ok: false; memoryBytesMin: Bytes } {
  assert(Math.max(settings.bodyBytesMax, settings.responseBytesMax) <= BODY_LIMIT_BYTES_MAX,
    'a body limit above what fits into a segment')
  const recordBytesMax = alignUp(
    RECORD_OVERHEAD_BYTES + Math.max(settings.bodyBytesMax, settings.responseBytesMax), 8)
  const limits = plan(settings, recordBytesMax)
  if (limits !== undefined) return { ok: true, limits }
  let memoryBytes = settings.memoryBytes
  while (plan({ ...settings, memoryBytes }, recordBytesMax) === undefined) {
    memoryBytes += MIB
    assert(memoryBytes < 2 ** 50, 'no memory is enough for these settings')
  }
  return { ok: false, memoryBytesMin: memoryBytes as Bytes }
}

function plan(settings: MemorySettings, recordBytesMax: number): Limits | undefined {
  const perShardBytes = Math.floor(settings.memoryBytes / settings.shards)
  const ringBytes = Math.max(MIB, 4 * powerOfTwoAtLeast(recordBytesMax))
  const segmentFloor = powerOfTwoAtLeast(recordBytesMax)
  const upstreamsMax = Math.min(UPSTREAMS_MAX,
    Math.max(UPSTREAMS_MIN, Math.floor(perShardBytes / (64 * KIB))))
  const recordsBytes = Math.ceil((upstreamsMax * UPSTREAM_SHARED_BYTES) / settings.shards)
  const fixed = 2 * ringBytes + KEY_COUNTS_BYTES + LAYOUT_SLACK_BYTES + recordsBytes +
    upstreamsMax * (UPSTREAM_PRIVATE_BYTES + UPSTREAM_SHARD_WORDS_BYTES + 1)
  const rest = perShardBytes - fixed
  if (rest < SEGMENTS_MIN * segmentFloor) return undefined
  const perJob = JOB_SLOT_BYTES + 2 * INDEX_ENTRY_BYTES * (INDEX_ENTRIES_PER_MILLE / 1000) +
    RECORD_BYTES_PLANNED
  const jobsMax = Math.floor(rest / (perJob + 128 / LANE_PER_JOBS + 1 / JOBS_PER_PAGE))
  const lanesMax = upstreamsMax +
    Math.min(LANES_PER_SHARD_MAX, Math.max(KIB, Math.floor(jobsMax / LANE_PER_JOBS)))
  const base: Limits = {
    ...settings, recordBytesMax, ringBytes, jobsMax, lanesMax, upstreamsMax,
    templatesMax: Math.max(KIB, Math.floor(lanesMax / 2)), segmentBytes: 0, segmentsMax: 0,
  }
  const logBytes = perShardBytes - shardBytes(base) - recordsBytes
  let segmentBytes = segmentFloor
  while (segmentBytes * 2 <= SEGMENT_BYTES_MAX && logBytes / (segmentBytes * 2) >= SEGMENTS_AIM) {
    segmentBytes *= 2
  }
  const segmentsMax = Math.min(SEGMENTS_MAX,
    Math.floor(logBytes / (segmentBytes + SEGMENT_WORDS_BYTES + 1)))
  if (segmentsMax < SEGMENTS_MIN) return undefined
  return { ...base, segmentBytes, segmentsMax }
}
