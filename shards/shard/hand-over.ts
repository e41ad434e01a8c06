// A shard changes threads while it lives: its parts hand over what is private to them, and the same
// parts of the next thread go on from there.
// Thread: shard, between two turns: the old one writes nothing after handOver(), the new one
// nothing before takeOver(). Memory: none of its own; all of it changes hands.
// Never: sweeps, sorts or decodes; that is recovery.ts, for threads that died.

import type { ShardParts } from './assembly.ts'
import type { EngineBaton } from './baton.ts'

/** What the parts know; they must not be used any more. */
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

/** Makes the parts whole; they have been assembled on the memory, and done nothing yet. */
export function takeOver(parts: ShardParts, baton: EngineBaton): void {
  parts.progress.begin()
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
