// The handover of a running shard between threads: its parts hand over their private state, and the
// same parts of the successor continue from it.
// Thread: shard, between two turns: the predecessor writes nothing after handOver(), the successor
// nothing before takeOver(). Memory: none of its own; the shard's memory changes its owner.
// Never: sweeps, sorts or decodes; recovery.ts does, after a crash.

import type { ShardParts } from './assembly.ts'
import type { EngineBaton } from './baton.ts'

/** Collects the parts' private state; the parts must not be used afterwards. */
export function handOver(parts: ShardParts): EngineBaton {
  return {
    jobs: parts.jobs.handOver(),
    log: parts.log.handOver(),
    templates: parts.templates.handOver(),
    logShares: parts.logShares.handOver(),
    lanes: parts.lanes.handOver(),
    pacer: parts.pacer.handOver(),
    settlement: parts.settlement.handOver(),
    undelivered: parts.undelivered.handOver(),
    finished: parts.finished.handOver(),
    overdue: parts.overdue.handOver(),
    watchers: parts.watchers.handOver(),
    warnings: parts.warnings.handOver(),
    intake: parts.intake.handOver(),
    attempts: parts.attempts.handOver(),
  }
}

/** Gives the parts their predecessors' state, after assembly and before any other use. */
export function takeOver(parts: ShardParts, baton: EngineBaton): void {
  parts.notes.begin()
  parts.jobs.takeOver(baton.jobs)
  parts.log.takeOver(baton.log)
  parts.templates.takeOver(baton.templates)
  parts.logShares.takeOver(baton.logShares)
  parts.lanes.takeOver(baton.lanes)
  parts.pacer.takeOver(baton.pacer)
  parts.settlement.takeOver(baton.settlement)
  parts.undelivered.takeOver(baton.undelivered)
  parts.finished.takeOver(baton.finished)
  parts.overdue.takeOver(baton.overdue)
  parts.watchers.takeOver(baton.watchers)
  parts.warnings.takeOver(baton.warnings)
  parts.intake.takeOver(baton.intake)
  parts.attempts.takeOver(baton.attempts)
}
