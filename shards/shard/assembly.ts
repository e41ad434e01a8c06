// Assembles a shard: constructs its parts and connects them.
// Thread: shard. Memory: passes each part the views that it owns.
// Never: does anything afterwards; engine.ts runs the parts.
// The only cycle, between the pacer and its sender, is closed by the engine.

import type { Clock } from '../base/clock.ts'
import type { Prng } from '../base/prng.ts'
import type { Micros } from '../base/units.ts'
import { AnswerWriter } from '../job/answer-writer.ts'
import { Arrivals } from '../job/arrivals.ts'
import { Attempts } from '../job/attempts.ts'
import { Dispatcher } from '../job/dispatcher.ts'
import { Finished } from '../job/finished.ts'
import { Intake } from '../job/intake.ts'
import { JobSnapshots } from '../job/job-snapshot.ts'
import { Overdue } from '../job/overdue.ts'
import type { HeadParts } from '../job/response-head.ts'
import { ResultRoom } from '../job/result-room.ts'
import { Settlement } from '../job/settlement.ts'
import { Warnings } from '../job/warnings.ts'
import { Watchers } from '../job/watchers.ts'
import { Delivery } from '../job/webhook.ts'
import { Journal, type JournalSink } from '../journal/journal.ts'
import { CrashNotes } from '../memory/crash-notes.ts'
import { Marks } from '../memory/dirty-pages.ts'
import { Bell } from '../memory/doorbell.ts'
import { GiveBack } from '../memory/give-back.ts'
import { KeyCounts } from '../memory/key-counts.ts'
import type { SharedViews, ShardViews } from '../memory/layout.ts'
import { RESULTS_PER_MILLE_MAX } from '../memory/result-limits.ts'
import { RingReader } from '../memory/ring.ts'
import { StatsWriter } from '../memory/stats.ts'
import { Lanes } from '../pace/lanes.ts'
import { Pacer, type Sender } from '../pace/pacer.ts'
import { SharedBudgets } from '../pace/shared-budget.ts'
import { UnwrittenSends } from '../pace/unwritten.ts'
import { JobLog } from '../store/job-log.ts'
import { JobRecords } from '../store/job-records.ts'
import { JobSlots } from '../store/job-slots.ts'
import { LogShares } from '../store/log-shares.ts'
import { Templates } from '../store/templates.ts'
import { UndeliveredResults } from '../store/undelivered-results.ts'
import type { Transport } from '../transport/transport.ts'
import type { ShardSettings } from '../wire/contract.ts'
import type { EngineBaton } from './baton.ts'

/** The inputs of a shard. */
export interface EngineParts {
  readonly shard: number
  readonly shared: SharedViews
  /** All shards' views; this one's are at index `shard`. */
  readonly shards: readonly ShardViews[]
  readonly settings: ShardSettings
  readonly clock: Clock
  readonly prng: Prng
  readonly transport: Transport
  /** Where batches of the journal go; null without one. */
  readonly journal: JournalSink | null
  /** The memory is that of a thread that has ended; recovery.ts rebuilds the parts' state. */
  readonly recover: boolean
  /** The baton of a running predecessor; takes precedence over `recover`. */
  readonly baton?: EngineBaton | undefined
  /** Called when something ended outside of a turn: requests a turn soon. */
  readonly wantTurn: () => void
  /** Called when an event of the transport failed an assertion: the shard cannot continue. */
  readonly broken: (error: unknown) => void
}

/** The parts of a shard that its turn uses. */
export interface ShardParts extends HeadParts {
  readonly stats: StatsWriter
  readonly notes: CrashNotes
  readonly budgets: SharedBudgets
  readonly jobs: JobSlots
  readonly log: JobLog
  readonly templates: Templates
  readonly records: JobRecords
  readonly logShares: LogShares
  readonly keyCounts: KeyCounts
  readonly lanes: Lanes
  readonly ingress: RingReader
  readonly answers: AnswerWriter
  readonly watchers: Watchers
  readonly finished: Finished
  readonly undelivered: UndeliveredResults
  readonly settlement: Settlement
  readonly overdue: Overdue
  readonly dispatcher: Dispatcher
  readonly delivery: Delivery
  readonly intake: Intake
  readonly arrivals: Arrivals
  readonly giveBack: GiveBack
  readonly marks: Marks
  readonly unwritten: UnwrittenSends
  /** Null when nothing is journalled. */
  readonly journal: Journal | null
}

/**
 * Assembles a shard, on fresh memory unless `given` says otherwise; its pacer calls `sender`.
 */
export function assemble(given: EngineParts, sender: Sender): ShardParts {
  const { clock, prng, settings, shard, shared, transport } = given
  const takesOver = given.baton !== undefined
  const recover = given.recover || takesOver
  const views = given.shards[shard] as ShardViews
  const nowUs = clock.nowUs()
  const wallMs = (atUs: Micros) => clock.wallMs(atUs)
  const stats = new StatsWriter(views.stats)
  const notes = new CrashNotes(views)
  const marks = new Marks(views, given.journal !== null)
  marks.recover()
  const budgets = new SharedBudgets(shared, shard, given.shards, marks)
  const jobs = new JobSlots(views, marks)
  const log = new JobLog(views, { recover }, marks)
  const templates = new Templates(views, log, { recover, takesOver }, marks)
  const records = new JobRecords(log, jobs, templates)
  const logShares = new LogShares(log, jobs, records, templates)
  const keyCounts = new KeyCounts(views, given.shards)
  const lanes = new Lanes(views, jobs, marks)
  const ingress = new RingReader(views.ingress, true)
  const answers = new AnswerWriter(
    views.answers, new Bell(shared.mainBell), jobs, notes, marks.isOn)
  const jobSnapshots = new JobSnapshots(jobs, records, lanes, wallMs)
  const watchers = new Watchers(jobs, jobSnapshots, answers)
  const finished = new Finished(jobs, records, stats, {
    completedTtlMs: settings.completedTtlMs,
    failedTtlMs: settings.failedTtlMs,
    resultBytesMax: Math.floor((log.usableBytes * RESULTS_PER_MILLE_MAX) / 1000),
    unwatch: (slot) => watchers.unwatch(slot),
  })
  const undelivered = new UndeliveredResults(jobs, records, stats, views.limits.upstreamsMax)
  const room = new ResultRoom(records, finished, undelivered, stats)
  const unwritten = new UnwrittenSends(shard, given.shards)
  const pacer = new Pacer(views, lanes, budgets, unwritten, sender, nowUs)
  const settlement = new Settlement(views, {
    jobs, lanes, logShares, keyCounts, records, finished, undelivered, room, watchers, stats, pacer,
  }, marks.isOn, nowUs)
  const attempts = new Attempts(nowUs, unwritten)
  const overdue = new Overdue(jobs, wallMs)
  const warnings = new Warnings(views.limits.upstreamsMax, answers, stats)
  const shares = {
    jobs, lanes, logShares, keyCounts, records, pacer, budgets, attempts, transport, settlement,
    watchers, warnings, stats, notes, prng, wallMs, finished, undelivered, room, log, answers,
    overdue,
  }
  const arrivals = new Arrivals(views, shares)
  const giveBack = new GiveBack(views)
  return {
    ...shares, ingress, templates, marks, unwritten, arrivals, giveBack,
    webhookRetryAfterMsMax: settings.webhookRetryAfterMsMax,
    journal: given.journal === null ? null : new Journal({
      views, shared, marks, ingress, answers, arrivals, giveBack, settlement, clock,
      sink: given.journal, wantTurn: given.wantTurn,
    }),
    dispatcher: new Dispatcher(shares),
    delivery: new Delivery({ ...shares, userAgent: settings.userAgent }),
    intake: new Intake(views, {
      ...shares, arrivals, ring: ingress, snapshots: jobSnapshots,
      refusesReuse: settings.keyMismatch === 'reject',
    }),
  }
}
