// One shard: the turn that runs all of its parts.
// Thread: shard. Memory: attaches to the given views; its parts own them.
// Never: waits, sleeps or sets a timer: worker.ts calls turn() when there is input or work is due.
// The order of a turn: notices of other shards, requests, timeouts and retries, then sends, then
// housekeeping. Every step is bounded, so that a turn cannot starve the sockets.

import { VERIFY } from '../base/assert.ts'
import type { Clock } from '../base/clock.ts'
import type { JobSlot, LaneSlot, Micros, UpstreamSlot } from '../base/units.ts'
import { ATTEMPT_JOB } from '../job/attempts.ts'
import { hearHead } from '../job/response-head.ts'
import { CrashNotes } from '../memory/crash-notes.ts'
import { KIND_RECEIVER, type ShardViews } from '../memory/layout.ts'
import {
  CLEAN_BYTES_PER_TURN_MAX, INGRESS_RECORDS_PER_TURN_MAX, ORIGIN_BYTES_MAX, UPSTREAM_NAME_BYTES,
} from '../memory/limits.ts'
import {
  GATE_CONNECTION, GATE_HOLD, GATE_MEMORY, GATE_OPEN, GATE_SHARD_PERMIT, type Gate,
} from '../pace/gates.ts'
import type { Sender } from '../pace/pacer.ts'
import type { FailureReason, ResponseHeaders, Unreachable } from '../signals/response.ts'
import { JOB_WEBHOOK_PENDING } from '../store/job-slots.ts'
import { LINE_FREE, LINE_NO_MEMORY, type TransportEvents } from '../transport/transport.ts'
import type { Recovered } from '../wire/contract.ts'
import { type EngineParts, type ShardParts, assemble } from './assembly.ts'
import type { EngineBaton } from './baton.ts'
import { handOver, takeOver } from './hand-over.ts'
import { mayDeliverBy } from './last-deliveries.ts'
import { recoverShard } from './recovery.ts'
import { verifyCounts } from './verify-counts.ts'

/** Why a connection could not be opened, until the transport has said it. */
const NO_CONNECTION: Unreachable = { reason: 'connection_error', detail: '' }

/** One shard. */
export class Engine implements TransportEvents, Sender {
  readonly #clock: Clock
  readonly #given: EngineParts
  readonly #parts: ShardParts
  /** What was recovered, after a crash or from a journal; null on fresh memory or at a handover. */
  readonly recovered: Recovered | null
  #stopping = false
  /** While stopping: until when webhooks are delivered that would be lost with the process. */
  #deliverUntilUs = -Infinity as Micros
  #isHeld = false
  /** The reasons for holding the shard at the last check, one bit each. */
  #hold = 0
  /** By upstream: why a connection last could not be opened. */
  readonly #unreachableFor: (Unreachable | undefined)[] = []
  /** Number of requests handled in the last turn. */
  #handled = 0

  constructor(given: EngineParts) {
    this.#given = given
    this.#clock = given.clock
    const views = given.shards[given.shard] as ShardViews
    // Memory that no thread has begun to use may be partly formatted.
    const { baton } = given
    const recover = baton === undefined && given.recover && new CrashNotes(views).run > 0
    this.#parts = assemble({ ...given, recover }, this)
    given.transport.start(this)
    const nowUs = given.clock.nowUs()
    if (baton !== undefined) takeOver(this.#parts, baton)
    else if (!recover) this.#parts.notes.begin()
    this.recovered = recover ? recoverShard(this.#parts, views, nowUs, given.clock) : null
    this.#parts.stats.set('heartbeatUs', given.clock.nowUs())
    if (VERIFY && baton !== undefined) this.#verifyWhole()
  }

  /**
   * Called between two turns: the state from which a successor on the same memory continues. This
   * engine must not be used afterwards. Requests in flight stay in flight.
   */
  handOver(): EngineBaton {
    this.#parts.journal?.stop(this.#clock.nowUs())
    if (VERIFY) this.#verifyWhole()
    return handOver(this.#parts)
  }

  /** Does all work that can be done now. @returns when the next turn is due at the latest. */
  turn(): Micros {
    const parts = this.#parts
    const nowUs = this.#clock.nowUs()
    parts.pacer.takeNotices(nowUs)
    const handled = parts.journal?.isBehind === true ? 0
      : parts.intake.read(INGRESS_RECORDS_PER_TURN_MAX, nowUs)
    this.#handled = handled
    let busy = handled === INGRESS_RECORDS_PER_TURN_MAX
    parts.attempts.advance(nowUs, (attemptId) => this.#timedOut(attemptId, nowUs))
    busy = parts.settlement.advance(nowUs) || busy
    this.#lookAtHold()
    parts.overdue.advance(nowUs, (slot) => this.#dropSwept(slot, nowUs))
    busy = parts.pacer.advance(nowUs) || busy
    parts.finished.expire(nowUs)
    parts.watchers.advance(nowUs)
    if (parts.log.needsCleaning()) {
      busy = parts.log.clean(CLEAN_BYTES_PER_TURN_MAX, parts.records) > 0 || busy
    }
    if (parts.journal === null) parts.answers.flush()
    else parts.journal.turnEnded(nowUs)
    this.#count(nowUs)
    return busy ? nowUs : this.#nextUs()
  }

  /** Whether a turn would find requests or notices, even if nothing is due. */
  hasWork(): boolean {
    const { budgets, ingress, journal } = this.#parts
    return budgets.hasNotices() || (journal?.isBehind !== true && !ingress.isEmpty())
  }

  /**
   * Whether more requests are likely and nothing else can arrive, so that the thread may block
   * briefly: nothing is in flight, nothing is being written, and the last turn had requests.
   */
  get mayNap(): boolean {
    const { attempts, journal } = this.#parts
    return this.#handled > 0 && attempts.inFlight === 0 && journal?.isIdle !== false
  }

  /** Wakes what is parked at GATE_HOLD if the reasons for holding the shard have changed. */
  #lookAtHold(): void {
    const { journal, settlement } = this.#parts
    const hold = (this.#isHeld ? 1 : 0) | (this.#stopping ? 2 : 0) |
      (settlement.isBlocked ? 4 : 0) | (journal?.hasPredecessors === false ? 8 : 0)
    if (hold === this.#hold) return
    this.#hold = hold
    this.#parts.pacer.gateChanged()
  }

  /** Number of checks whether something may be sent. */
  get looks(): number {
    return this.#parts.pacer.looks
  }

  /**
   * Begins nothing new: waiting jobs are left for the next start. Only webhooks that no journal
   * keeps are still delivered, if they are due before `untilUs`. Requests in flight continue.
   */
  stop(untilUs: Micros): void {
    this.#stopping = true
    if (this.#parts.journal === null) this.#deliverUntilUs = untilUs
    else this.#isHeld = true
  }

  /** While on, nothing new is sent at all; pending jobs and webhooks are left for later. */
  hold(isOn: boolean): void {
    this.#isHeld = isOn
  }

  /** Whether nothing is in flight and no webhook is pending that this engine is to deliver. */
  get isIdle(): boolean {
    const { attempts, settlement } = this.#parts
    if (attempts.inFlight > 0 || settlement.isBlocked) return false
    if (this.#isHeld || settlement.webhooksPending === 0) return true
    return this.#stopping && !mayDeliverBy(this.#parts, this.#deliverUntilUs)
  }

  /** Calls back when the journal has every change, or cannot be written now. */
  settleJournal(onSettled: () => void): void {
    if (this.#parts.journal === null) onSettled()
    else this.#parts.journal.settle(onSettled)
  }

  /** Jobs that were accepted and have no result yet. */
  get unfinished(): number {
    const { jobs, finished, settlement } = this.#parts
    return jobs.used - finished.count - settlement.webhooksPending
  }

  /** Under VERIFY: asserts that the job log's records and counters agree. */
  verify(): void {
    this.#parts.log.verify(this.#parts.records)
  }

  /** The same, and asserts everything that a baton holds. */
  #verifyWhole(): void {
    this.verify()
    verifyCounts(this.#parts, this.#given.shards[this.#given.shard] as ShardViews)
  }

  // --- Sender, called by the pacer ---

  gateOf(upstream: UpstreamSlot): Gate {
    const { attempts, budgets, journal, settlement } = this.#parts
    if (this.#isHeld) return GATE_HOLD
    if (journal?.hasPredecessors === false) return GATE_HOLD
    const held = budgets.inFlightHere(upstream)
    if (budgets.kind(upstream) === KIND_RECEIVER) {
      return attempts.mayDeliver(held) ? GATE_OPEN : GATE_SHARD_PERMIT
    }
    if (this.#stopping || settlement.isBlocked) return GATE_HOLD
    return attempts.mayTake(held) ? GATE_OPEN : GATE_SHARD_PERMIT
  }

  lineGateOf(upstream: UpstreamSlot, lane: LaneSlot, connections: number): Gate {
    const { transport } = this.#given
    const { budgets, lanes } = this.#parts
    const line = transport.lineTo(upstream)
    if (line === LINE_FREE) return GATE_OPEN
    if (line === LINE_NO_MEMORY) return GATE_MEMORY
    transport.connect(upstream, this.#originOf(upstream), connections, budgets.timeoutMs(upstream),
      lanes.at.user[lane] as number)
    // connect() may have reported a free connection already, before the lane is parked for it.
    return transport.lineTo(upstream) === LINE_FREE ? GATE_OPEN : GATE_CONNECTION
  }

  dropOverdue(_lane: LaneSlot, slot: JobSlot, nowUs: Micros): boolean {
    if (!this.#parts.overdue.isOverdue(slot, nowUs)) return false
    this.#failOverdue(slot, nowUs)
    return true
  }

  send(slot: JobSlot, lane: LaneSlot, upstream: UpstreamSlot, nowUs: Micros): void {
    const { delivery, dispatcher, jobs, notes } = this.#parts
    notes.serve(slot)
    if (jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) delivery.send(slot, lane, upstream, nowUs)
    else dispatcher.send(slot, lane, upstream, nowUs)
    notes.serveNone()
  }

  failUnsent(slot: JobSlot, upstream: UpstreamSlot, nowUs: Micros): void {
    const { delivery, dispatcher, jobs, notes, warnings } = this.#parts
    const why = this.#unreachableFor[upstream] ?? NO_CONNECTION
    notes.serve(slot)
    if (why.reason === 'address_refused') warnings.refused(upstream, why.detail, nowUs)
    if (jobs.hasFlag(slot, JOB_WEBHOOK_PENDING)) delivery.failUnsent(slot, why.reason, nowUs)
    else dispatcher.failUnsent(slot, why, nowUs)
    notes.serveNone()
  }

  /** Not cached: connections are requested rarely, and a slot's origin may change. */
  #originOf(upstream: UpstreamSlot): string {
    const { upstreamNames } = this.#given.shared
    const at = upstream * UPSTREAM_NAME_BYTES
    const begin = at + UPSTREAM_NAME_BYTES - ORIGIN_BYTES_MAX
    return upstreamNames.toString('latin1', begin, begin + upstreamNames.readUInt16LE(at))
  }

  // --- TransportEvents ---

  // `free` and `written` are frequent and may be called within a turn, which handles their errors.

  free(to: number): void {
    this.#parts.pacer.lineFree(to as UpstreamSlot)
    this.#given.wantTurn()
  }

  unreachable(to: number, reason: FailureReason, detail: string): void {
    this.#unreachableFor[to] = { reason, detail }
    this.#parts.pacer.lineFailed(to as UpstreamSlot)
    this.#given.wantTurn()
  }

  written(attemptId: number): void {
    const { attempts, pacer } = this.#parts
    pacer.written(
      attempts.lane[attemptId] as LaneSlot, attempts.upstream[attemptId] as UpstreamSlot,
      attempts.accountQueue[attemptId] === 1, attempts.intervalNs[attemptId] as number,
      attempts.unwrittenNs(attemptId), this.#clock.nowUs())
    attempts.settleWrite(attemptId)
  }

  head(attemptId: number, status: number, headers: ResponseHeaders): void {
    this.#handle(attemptId,
      () => hearHead(this.#parts, attemptId, status, headers, this.#clock.nowUs()))
  }

  end(attemptId: number, body: Uint8Array, truncated: boolean): void {
    this.#handle(attemptId, () => {
      const { attempts, delivery, dispatcher } = this.#parts
      const nowUs = this.#clock.nowUs()
      const isJob = attempts.kind[attemptId] === ATTEMPT_JOB
      if (isJob) dispatcher.end(attemptId, body, truncated, nowUs)
      else delivery.ended(attemptId, nowUs)
    })
  }

  returned(attemptId: number): void {
    this.#handle(attemptId, () => {
      const { attempts, delivery, dispatcher, pacer } = this.#parts
      const nowUs = this.#clock.nowUs()
      pacer.returned(
        attempts.lane[attemptId] as LaneSlot, attempts.upstream[attemptId] as UpstreamSlot,
        attempts.chargeOf(attemptId), nowUs)
      if (attempts.kind[attemptId] === ATTEMPT_JOB) dispatcher.returned(attemptId, nowUs)
      else delivery.returned(attemptId, nowUs)
    })
  }

  failed(attemptId: number, reason: FailureReason): void {
    this.#handle(attemptId, () => this.#settleFailure(attemptId, reason, this.#clock.nowUs()))
  }

  /** Catches all errors, so that the network library cannot swallow a failed assertion. */
  #handle(attemptId: number, settle: () => void): void {
    const { attempts, notes } = this.#parts
    try {
      notes.serve(attempts.slot[attemptId] as JobSlot)
      settle()
      notes.serveNone()
      this.#given.wantTurn()
    } catch (error) {
      this.#given.broken(error)
    }
  }

  #timedOut(attemptId: number, nowUs: Micros): void {
    const { attempts, notes } = this.#parts
    notes.serve(attempts.slot[attemptId] as JobSlot)
    this.#given.transport.abort(attemptId)
    this.#settleFailure(attemptId, 'timeout', nowUs)
    notes.serveNone()
  }

  #settleFailure(attemptId: number, reason: FailureReason, nowUs: Micros): void {
    const { attempts, delivery, dispatcher } = this.#parts
    if (attempts.kind[attemptId] === ATTEMPT_JOB) dispatcher.failed(attemptId, reason, nowUs)
    else delivery.failed(attemptId, nowUs)
  }

  /** While results wait for space in the log, overdue jobs stay in their lanes. */
  #dropSwept(slot: JobSlot, nowUs: Micros): boolean {
    if (this.#parts.settlement.isBlocked) return false
    this.#failOverdue(slot, nowUs)
    return true
  }

  #failOverdue(slot: JobSlot, nowUs: Micros): void {
    const { jobs, pacer, notes, settlement } = this.#parts
    notes.serve(slot)
    pacer.withdraw(jobs.at.lane[slot] as LaneSlot, slot)
    settlement.finishWaiting(slot, 'failed', 'execution_deadline_exceeded', nowUs)
    notes.serveNone()
  }

  #nextUs(): Micros {
    const { attempts, finished, journal, overdue, pacer, settlement, watchers } = this.#parts
    return Math.min(journal?.nextUs() ?? Infinity, pacer.nextUs(), settlement.nextUs(),
      attempts.nextUs(), overdue.nextUs(), watchers.nextUs(), finished.nextUs()) as Micros
  }

  #count(nowUs: Micros): void {
    const { stats, jobs, settlement, attempts, finished, lanes, pacer, log, watchers } = this.#parts
    stats.set('heartbeatUs', nowUs)
    stats.add('turns')
    stats.set('retrying', settlement.retrying)
    stats.set('inFlight', attempts.jobsInFlight)
    stats.set('webhooksWaiting', settlement.webhooksPending)
    stats.set('webhooksInFlight', attempts.inFlight - attempts.jobsInFlight)
    stats.set('finished', finished.count)
    stats.set('queued', this.unfinished - attempts.jobsInFlight)
    stats.set('jobSlotsUsed', jobs.used)
    stats.set('lanesUsed', lanes.used)
    stats.set('lanesRefusedByShare', lanes.counts.refusedByShare)
    stats.set('lanesRefusedByBound', lanes.counts.refusedByBound)
    stats.set('lanesActive', pacer.activeLanes)
    stats.set('logLiveBytes', log.liveBytes)
    stats.set('logCapacityBytes', log.usableBytes)
    stats.set('resultBytes', finished.resultBytes)
    stats.set('watched', watchers.count)
  }
}
