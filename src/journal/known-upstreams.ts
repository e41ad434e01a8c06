// Which origins the journals' upstream slots stand for. Each shard's journal records it, and the
// latest record counts. After a stop of the machine, one journal may end a moment earlier than
// another, and have a slot with an origin that it has been taken from since: then the slot is
// disputed, and the shards' jobs decide.

import { type Micros, NONE } from '../../shards/base/units.ts'
import { JOBS_FRESH } from '../../shards/memory/crash-notes.ts'
import type { ShardViews } from '../../shards/memory/layout.ts'
import { JOB_FREE, JOB_WEBHOOK_PENDING, JOB_RETRYING } from '../../shards/store/job-slots.ts'
import type { KnownUpstreams, UpstreamFacts } from '../../shards/wire/contract.ts'

const FLAGS_SHIFT = 16
const RECEIVER_MASK = 0xffff
const STATE_MASK = 0xff

/** The merged upstreams, and the slots on which the journals disagree. @param known by shard. */
export function mergeUpstreams(known: readonly KnownUpstreams[]):
  { agreed: KnownUpstreams; disputed: ReadonlySet<number> } {
  const agreed = new Map<number, UpstreamFacts>()
  const disputed = new Set<number>()
  for (const [slot, facts] of known.flatMap((upstreams) => [...upstreams])) {
    const other = agreed.get(slot)
    if (other !== undefined && nameOf(other) !== nameOf(facts)) disputed.add(slot)
    agreed.set(slot, other === undefined ? facts : laterOf(other, facts))
  }
  const slots = new Map<string, number>()
  for (const [slot, facts] of agreed) {
    const other = slots.get(nameOf(facts))
    if (other !== undefined) disputed.add(slot).add(other)
    slots.set(nameOf(facts), slot)
  }
  return { agreed, disputed }
}

/**
 * Settles disputed slots, once all shards are loaded and before any starts: a slot belongs to the
 * origin whose jobs use it, or else to the later one. A slot without jobs whose origin has another
 * slot too is free. So are the lanes of an origin that has lost its slot.
 */
export function settleUpstreams(
  known: readonly KnownUpstreams[], disputed: ReadonlySet<number>, shards: readonly ShardViews[],
): KnownUpstreams {
  const used = shards.map((views) => slotsInUse(views))
  const settled = new Map(mergeUpstreams(known).agreed)
  for (const slot of disputed) {
    const named = known.map((upstreams, shard) => used[shard]?.has(slot) === true
      ? upstreams.get(slot) : undefined).filter((facts) => facts !== undefined)
    const [first, ...others] = named
    if (first !== undefined) settled.set(slot, others.reduce(laterOf, first))
    else if (hasOther(settled, slot)) settled.delete(slot)
    for (const [shard, views] of shards.entries()) {
      const own = known[shard]?.get(slot)
      const holds = settled.get(slot)
      const isLost = own !== undefined && (holds === undefined || nameOf(holds) !== nameOf(own))
      if (isLost && used[shard]?.has(slot) !== true) freeLanes(views, slot, holds)
    }
  }
  return settled
}

const nameOf = ({ kind, origin }: UpstreamFacts): string => `${kind} ${origin}`

function laterOf(one: UpstreamFacts, other: UpstreamFacts): UpstreamFacts {
  const later = other.asOfUs > one.asOfUs ? other : one
  return { ...later, baseUs: Math.max(one.baseUs, other.baseUs) as Micros }
}

function hasOther(settled: KnownUpstreams, slot: number): boolean {
  const facts = settled.get(slot)
  if (facts === undefined) return false
  return [...settled].some(([other, its]) => other !== slot && nameOf(its) === nameOf(facts))
}

/** Upstreams that a job of the shard is to be sent to, or that get its pending webhook. */
function slotsInUse({ jobs, lanes, progress }: ShardViews): ReadonlySet<number> {
  const slots = new Set<number>()
  const fresh = progress[JOBS_FRESH] as number
  for (let job = 0; job < fresh; job++) {
    const state = (jobs.state[job] as number) & STATE_MASK
    const result = jobs.resultWord[job] as number
    const isPending = (result >>> FLAGS_SHIFT & JOB_WEBHOOK_PENDING) !== 0
    if (state === JOB_FREE || (state > JOB_RETRYING && !isPending)) continue
    const lane = jobs.lane[job] as number
    if (lane !== NONE) slots.add(lanes.upstream[lane] as number)
    const receiver = result & RECEIVER_MASK
    if (state <= JOB_RETRYING && receiver > 0) slots.add(receiver - 1)
  }
  return slots
}

/** Resets lanes that were learned from another origin. @param holds the slot's present origin. */
function freeLanes({ lanes, limits, upstreams }: ShardViews, slot: number,
  holds: UpstreamFacts | undefined): void {
  for (let lane = limits.upstreamsMax; lane < lanes.flags.length; lane++) {
    if (lanes.flags[lane] !== 0 && lanes.upstream[lane] === slot) lanes.flags[lane] = 0
  }
  lanes.baseUs[slot] = 0
  lanes.lastSendUs[slot] = 0
  lanes.flags[slot] = 0
  upstreams.lastSendUs[slot] = 0
  upstreams.switches[slot] = holds?.accountQueues ?? 0
}
