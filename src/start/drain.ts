// A drain: no new jobs are accepted until nothing is left, and then the server ends; or until the
// drain is cancelled.

import { lookEvery, type Clock } from '../../shards/base/clock.ts'
import { type Micros, US_PER_MS, msToUs } from '../../shards/base/units.ts'
import { readStats } from '../../shards/memory/stats.ts'
import {
  type Unended, type UnendedByKind, UnendedSweep, joinUnended, makeUnended,
} from '../../shards/store/unended.ts'
import {
  DRAIN_LOG_EVERY_MS, DRAIN_LOOK_EVERY_MS, DRAIN_SLOTS_PER_LOOK_MAX,
} from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { ProcessEnd } from '../base/process-end.ts'
import type { Asking, ControlAnswer, ControlRequest } from '../control/commands.ts'
import type { FrontDoor } from '../door/front-door.ts'
import type { ShardLink } from '../engine/shard-link.ts'

/** What a drain needs. */
export interface DrainParts {
  readonly door: FrontDoor
  readonly links: readonly ShardLink[]
  readonly end: Pick<ProcessEnd, 'decided' | 'drained'>
  readonly log: Log
  /** Only read. */
  readonly clock: Clock
}

/** The work that is left. */
interface Left {
  /** Waiting jobs, including those that wait for a retry. */
  readonly queued: number
  readonly inFlight: number
  readonly webhooks: number
  /** Requests whose jobs may still be accepted. */
  readonly arriving: number
}

/** A client that receives the drain's progress. */
interface DrainListener {
  readonly asking: Asking
  readonly answer: (answer: ControlAnswer) => void
}

/**
 * Consecutive checks that must find nothing left, each after another turn of every shard: a shard
 * answers that it has accepted a job before it counts the job, but in the same turn.
 */
const EMPTY_LOOKS = 2

/** All drains of a server. */
export class Drain {
  readonly #parts: DrainParts
  readonly #listeners = new Set<DrainListener>()
  /** The turn counts of the shards at the last check. */
  #turns: readonly number[] = []
  #emptyLooks = 0
  #sinceUs = 0 as Micros
  #nextLogUs = 0
  /** One per shard. */
  #sweeps: readonly UnendedSweep[] = []
  #stopLooking: (() => void) | undefined

  constructor(parts: DrainParts) {
    this.#parts = parts
  }

  /** The command `drain`: starts a drain, joins the present one, or cancels it. */
  readonly command = (request: ControlRequest, asking: Asking): Promise<ControlAnswer> => {
    if (request['cancel'] === true) return Promise.resolve(this.#cancel())
    const obstacle = this.#begin()
    if (obstacle !== undefined) return Promise.resolve({ ok: false, error: obstacle })
    return new Promise((answer) => {
      const watcher = { asking, answer }
      this.#listeners.add(watcher)
      void asking.gone.then(() => {
        this.#listeners.delete(watcher)
        answer({ ok: false, error: 'the client has gone' })
      })
      asking.progress(this.#progressOf(this.#left()))
    })
  }

  /** Ends the drain, because the server ends before it is empty. */
  stop(): void {
    if (this.#stopLooking === undefined) return
    this.#halt()
    this.#answerAll({ ok: false, error: 'the server was stopped before it was empty' })
  }

  /** Starts a drain; returns why it cannot, if so. */
  #begin(): string | undefined {
    const { clock, door, end, links, log } = this.#parts
    if (door.tables.phase === 'starting') return 'the server is still starting'
    if (end.decided) return 'the server is stopping'
    if (this.#stopLooking !== undefined) return undefined
    door.drain()
    this.#sinceUs = clock.nowUs()
    this.#nextLogUs = this.#sinceUs + msToUs(DRAIN_LOG_EVERY_MS)
    this.#sweeps = links.map(({ views }) => new UnendedSweep(views))
    this.#sweep()
    this.#stopLooking = lookEvery(DRAIN_LOOK_EVERY_MS, () => this.#look())
    log.info(this.#show(this.#left()),
      'draining: no new jobs are taken; the server ends when nothing is left')
    return undefined
  }

  #cancel(): ControlAnswer {
    const { door, end, log } = this.#parts
    if (this.#stopLooking === undefined) return { ok: false, error: 'no drain is under way' }
    if (end.decided) return { ok: false, error: 'the server is stopping' }
    this.#halt()
    door.reopen()
    const left = counted(this.#left())
    log.info(left, 'the drain is cancelled: new jobs are taken again')
    this.#answerAll({ ok: false, error: 'the drain was cancelled; new jobs are taken again' })
    return { ok: true, fields: left }
  }

  #look(): void {
    const { clock, end, links, log } = this.#parts
    const left = this.#left()
    this.#sweep()
    this.#logAgain(left)
    const progress = this.#progressOf(left)
    for (const { asking } of this.#listeners) asking.progress(progress)
    const turns = links.map(({ views }) => readStats(views.stats).turns)
    const haveTurned = links.every(({ down, ingress }, shard) =>
      !down && ingress.fillBytes() === 0 && turns[shard] !== this.#turns[shard])
    this.#turns = turns
    if (sum(left) > 0) this.#emptyLooks = 0
    else if (haveTurned) this.#emptyLooks++
    if (this.#emptyLooks < EMPTY_LOOKS || end.decided) return
    this.#halt()
    log.info({ ms: Math.round((clock.nowUs() - this.#sinceUs) / US_PER_MS) }, 'drained')
    this.#answerAll({ ok: true })
    end.drained()
  }

  #halt(): void {
    this.#stopLooking?.()
    this.#stopLooking = undefined
    this.#emptyLooks = 0
  }

  #answerAll(answer: ControlAnswer): void {
    for (const watcher of this.#listeners) watcher.answer(answer)
    this.#listeners.clear()
  }

  #left(): Left {
    const { door: { tables }, links } = this.#parts
    let queued = 0
    let inFlight = 0
    let webhooks = 0
    for (const { views } of links) {
      const stats = readStats(views.stats)
      queued += stats.queued
      inFlight += stats.inFlight
      webhooks += stats.webhooksWaiting
    }
    const { entries, freeCount } = tables.jobs.waiting
    return { queued, inFlight, webhooks, arriving: entries.length - freeCount }
  }

  /** Logs periodically what the drain still waits for. */
  #logAgain(left: Left): void {
    const { clock, log } = this.#parts
    if (clock.nowUs() < this.#nextLogUs || sum(left) === 0) return
    this.#nextLogUs = clock.nowUs() + msToUs(DRAIN_LOG_EVERY_MS)
    log.info(this.#progressOf(left), 'still draining')
  }

  #sweep(): void {
    const nowUs = this.#parts.clock.nowUs()
    for (const sweep of this.#sweeps) sweep.advance(DRAIN_SLOTS_PER_LOOK_MAX, nowUs)
  }

  /** What is left, and what of it has waited longest and is due next. */
  #show(left: Left): Record<string, unknown> {
    const nowUs = this.#parts.clock.nowUs()
    const all = makeUnended()
    for (const { found } of this.#sweeps) joinUnended(all, found)
    return { ...counted(left), waits_for: showAll(all, left, nowUs) }
  }

  #progressOf(left: Left): Readonly<Record<string, unknown>> {
    const elapsedUs = this.#parts.clock.nowUs() - this.#sinceUs
    return { left: sum(left), ...this.#show(left), elapsed_ms: Math.round(elapsedUs / US_PER_MS) }
  }
}

const sum = ({ arriving, inFlight, queued, webhooks }: Left): number =>
  arriving + inFlight + queued + webhooks

const counted = ({ arriving, inFlight, queued, webhooks }: Left): Record<string, number> =>
  ({ queued, in_flight: inFlight, webhooks, arriving })

/** Only kinds of which something is left, since a sweep may have found jobs that ended since. */
const showAll = (
  { inFlight, queued, webhooks }: UnendedByKind, left: Left, nowUs: Micros,
): object => ({
  ...(left.queued > 0 && { queued: show(queued, nowUs) }),
  ...(left.inFlight > 0 && { in_flight: show(inFlight, nowUs) }),
  ...(left.webhooks > 0 && { webhooks: show(webhooks, nowUs) }),
})

function show({ nextUs, oldest }: Unended, nowUs: Micros): object {
  const dueMs = Math.max(0, Math.round((nextUs - nowUs) / US_PER_MS))
  return {
    ...(oldest !== undefined && { oldest_s: oldest.ageS, oldest_job_id: oldest.jobId }),
    ...(nextUs !== Infinity && { next_due_ms: dueMs }),
  }
}
