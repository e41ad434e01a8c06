// Whether two shards' memories hold the same facts: everything that a recovery is based on, and
// nothing that it rebuilds.

import assert from 'node:assert/strict'
import { NONE, alignUp } from '../../shards/base/units.ts'
import { JOBS_FRESH, LANES_FRESH } from '../../shards/memory/crash-notes.ts'
import type { SegmentViews, ShardViews } from '../../shards/memory/layout.ts'
import { LANE_ACCOUNT_QUEUE, LANE_TENANT, LANE_USED } from '../../shards/pace/lanes.ts'
import { JOB_FREE, JOB_UNWRITTEN } from '../../shards/store/job-slots.ts'
import { RECORD_DEAD, RECORD_KIND, RECORD_LENGTH } from '../../shards/store/log-record.ts'
import { SEGMENT_FREE } from '../../shards/store/segments.ts'

const JOB_FACTS = [
  'route', 'idHigh', 'idLow', 'keyHigh', 'keyLow', 'fingerprint', 'location', 'lane', 'order',
  'state', 'acceptedS', 'owner', 'timeUs',
] as const
/** The bits of a job's result word that are facts; the others belong to the process. */
const ANSWER_FACTS = ~(JOB_UNWRITTEN << 16)
const LANE_FACTS = [
  'keyHigh', 'keyLow', 'upstream', 'baseUs', 'lastSendUs', 'intervalNs', 'concurrentMax',
  'nextOrder',
] as const
const LANE_FLAGS = LANE_USED | LANE_ACCOUNT_QUEUE | LANE_TENANT

/** Builds the label only for a difference, since millions of words are compared. */
function same(copy: unknown, own: unknown, name: string, of: string, at: number): void {
  if (copy !== own) assert.equal(copy, own, `${name} of ${of} ${at}`)
}

/** Asserts that `copy` holds the facts of `views`. */
export function compareFacts(views: ShardViews, copy: ShardViews): void {
  assert.equal(copy.progress[JOBS_FRESH], views.progress[JOBS_FRESH], 'jobs ever given out')
  assert.equal(copy.progress[LANES_FRESH], views.progress[LANES_FRESH], 'lanes ever given out')
  compareJobs(views, copy)
  compareLanes(views, copy)
  for (let slot = 0; slot < views.templates.location.length; slot++) {
    const at = views.templates.location[slot]
    same(copy.templates.location[slot], at, 'location', 'template', slot)
    if (at === NONE) continue
    same(copy.templates.hash[slot], views.templates.hash[slot], 'hash', 'template', slot)
  }
  for (let upstream = 0; upstream < views.upstreams.switches.length; upstream++) {
    for (const fact of ['lastSendUs', 'switches'] as const) {
      same(copy.upstreams[fact][upstream], views.upstreams[fact][upstream],
        fact, 'upstream', upstream)
    }
  }
  for (const [segment, { u32 }] of views.segments.entries()) {
    const state = views.segmentState[segment]
    same(copy.segmentState[segment], state, 'state', 'segment', segment)
    if (state === SEGMENT_FREE) continue
    compareRecords(segment, u32, (copy.segments[segment] as SegmentViews).u32)
  }
}

function compareJobs(views: ShardViews, copy: ShardViews): void {
  const fresh = views.progress[JOBS_FRESH] as number
  for (let slot = 0; slot < fresh; slot++) {
    const state = (views.jobs.state[slot] as number) & 0xff
    same((copy.jobs.state[slot] as number) & 0xff, state, 'state', 'job slot', slot)
    if (state === JOB_FREE) continue
    for (const fact of JOB_FACTS) {
      same(copy.jobs[fact][slot], views.jobs[fact][slot], fact, 'job slot', slot)
    }
    same((copy.jobs.resultWord[slot] as number) & ANSWER_FACTS,
      (views.jobs.resultWord[slot] as number) & ANSWER_FACTS, 'result word', 'job slot', slot)
  }
}

function compareLanes(views: ShardViews, copy: ShardViews): void {
  for (let lane = 0; lane < views.lanes.flags.length; lane++) {
    const flags = (views.lanes.flags[lane] as number) & LANE_FLAGS
    same((copy.lanes.flags[lane] as number) & LANE_FLAGS, flags, 'flags', 'lane', lane)
    if (flags === 0) continue
    for (const fact of LANE_FACTS) {
      same(copy.lanes[fact][lane], views.lanes[fact][lane], fact, 'lane', lane)
    }
  }
}

/** Whether a record is freed follows from its owner's facts. */
function compareRecords(segment: number, words: Uint32Array, copy: Uint32Array): void {
  const of = `segment ${segment} at word`
  for (let at = 0; at < words.length;) {
    const length = words[at + RECORD_LENGTH] as number
    same(copy[at + RECORD_LENGTH], length, 'the length of a record', of, at)
    if (length === 0) return
    const end = at + length / 4
    for (let word = at; word < Math.floor(end); word++) {
      const mask = word === at + RECORD_KIND ? RECORD_DEAD - 1 : 0xffffffff
      same((copy[word] as number) & mask, (words[word] as number) & mask, 'a record', of, word)
    }
    at += alignUp(length, 8) / 4
  }
}
