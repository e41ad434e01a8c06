// The handover of a server to its successor, another process, in five steps:
//
//   1. the successor asks over the control socket; it is accepted, or refused with a reason
//   2. the successor reports that it listens: this process stops accepting connections, and proxies
//      what still arrives over open ones; what it has accepted already, it answers
//   3. nothing new is sent, webhooks included, and requests in flight are finished
//   4. the shards end, the journal is closed, the control socket is released, and the successor is
//      notified
//   5. the successor loads the journal and reports that; this process ends with its last connection
//
// Until step 4 begins, everything can be undone; afterwards the successor, or a new start,
// continues from the journal. If this process ends before, the successor notices and does the same.

import { isDeepStrictEqual } from 'node:util'
import { type Clock, lookEvery } from '../../shards/base/clock.ts'
import { US_PER_MS, msToUs } from '../../shards/base/units.ts'
import { readStats } from '../../shards/memory/stats.ts'
import {
  HAND_OVER_ANSWERS_MS_MAX, HAND_OVER_DELIVERIES_MS_MAX, PROXY_LOOK_EVERY_MS, PROXY_MS_MAX,
} from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import type { ProcessEnd } from '../base/process-end.ts'
import { showListeners } from '../config/listeners.ts'
import type { Asking, ControlAnswer, ControlRequest } from '../control/commands.ts'
import type { Control } from '../control/server-control.ts'
import type { FrontDoor } from '../door/front-door.ts'
import type { ShardLink } from '../engine/shard-link.ts'
import { reportCutOff } from '../engine/stop-report.ts'
import type { StopSummary, Supervisor } from '../engine/supervisor.ts'
import { CAN_SHARE } from '../http/server.ts'
import type { Journals } from '../journal/journals.ts'

/** Incremented with every change of the protocol between the two processes. */
export const TAKE_OVER_FORM = 2

/** How long shards with nothing in flight may take to end; what is in flight then is cut off. */
const END_MS_MAX = 1000

/** What a handover needs. */
export interface HandOverParts {
  readonly door: FrontDoor
  readonly links: readonly ShardLink[]
  readonly supervisor: Pick<Supervisor, 'hold' | 'stop'>
  readonly journals: Journals | null
  readonly control: Pick<Control, 'release'>
  readonly end: Pick<ProcessEnd, 'decided' | 'handOver'>
  /** How long to wait for requests in flight. */
  readonly graceMs: () => number
  readonly log: Log
  /** Only read. */
  readonly clock: Clock
  /** For retries only, since a clock has one wake-up. */
  readonly againClock: Clock
}

/** The successor's messages; `gone`: it sends no more. */
type Step = 'listening' | 'loaded' | 'gone'

/** A handover, from the successor's request on. */
export class HandOver {
  readonly #parts: HandOverParts
  #isUnderWay = false
  #asking: Asking | undefined
  #pid = 0
  #proof = ''
  #latest: Step | undefined
  #handled: Step | undefined
  #wake: () => void = () => {}
  #answer: (answer: ControlAnswer) => void = () => {}

  constructor(parts: HandOverParts) {
    this.#parts = parts
  }

  /** The command `take-over`: answered when the successor has loaded everything, or on failure. */
  readonly command = async (request: ControlRequest, asking: Asking): Promise<ControlAnswer> => {
    const obstacle = this.#obstacle(request)
    if (obstacle !== undefined) return { ok: false, error: obstacle }
    const { end, log } = this.#parts
    this.#isUnderWay = true
    this.#asking = asking
    this.#latest = this.#handled = undefined
    this.#pid = Number(request['pid'])
    this.#proof = String(request['proof'])
    asking.hear((said) => this.#onMessage(said))
    log.info({ pid: this.#pid, version: String(request['version']) },
      'another process is about to take over')
    asking.progress({ state: 'ready', pid: process.pid })
    const isLeft = await this.#leave()
    if (isLeft) {
      const { promise, resolve } = Promise.withResolvers<ControlAnswer>()
      this.#answer = resolve
      end.handOver()
      return promise
    }
    this.#isUnderWay = false
    // This process is stopping: the successor notices its end, and continues as after a crash.
    if (end.decided) return new Promise(() => {})
    return { ok: false, error: 'the hand-over has been given up' }
  }

  /** Steps 4 and 5; resolves with whether the successor continues. */
  async finish(): Promise<boolean> {
    const { clock, control, door, journals, links, log, supervisor } = this.#parts
    const fromUs = clock.nowUs()
    const summary = await supervisor.stop(END_MS_MAX)
    await this.#until(() => links.every(({ answers }) => answers.isEmpty()), Infinity)
    door.retire()
    const isWritten = journals?.isWritten === true
    await journals?.close()
    control.release()
    this.#asking?.progress({ state: 'handed_over', queued: summary.queued })
    this.#report(summary, isWritten, (clock.nowUs() - fromUs) / US_PER_MS)
    const hasLoaded = await this.#nextStep() === 'loaded'
    if (hasLoaded) await this.#proxyRest()
    else {
      log.error({ pid: this.#pid }, 'the process that took over is gone before it had loaded the ' +
        'journal; this one cannot go on: a start on the data folder brings all jobs back')
    }
    door.close()
    this.#answer({ ok: true })
    return hasLoaded
  }

  // --- inside ---

  #obstacle(request: ControlRequest): string | undefined {
    const { door: { listeners, tables }, end, journals } = this.#parts
    if (tables.phase === 'starting') return 'the server is still starting'
    if (end.decided) return 'the server is stopping'
    if (this.#isUnderWay) return 'another process is taking over already'
    if (tables.phase === 'draining') {
      return 'the server is draining; sluice drain --cancel ends that'
    }
    if (journals === null) return 'the server has no journal, so nothing could be handed over'
    if (!CAN_SHARE) return 'this system does not let two processes listen at one port'
    if (request['form'] !== TAKE_OVER_FORM) {
      return 'the two versions of Sluice do not understand each other: stop the one, then start ' +
        'the other'
    }
    if (isDeepStrictEqual(request['listeners'], listeners)) return undefined
    return `the server listens on ${showListeners(listeners)}, and whoever takes over must do so ` +
      'as well: give the same --host, --port and --operate-listen'
  }

  /** Steps 2 and 3; false when everything has been undone. */
  async #leave(): Promise<boolean> {
    const { againClock, door, end, graceMs, log, supervisor } = this.#parts
    if (await this.#nextStep() !== 'listening') {
      log.warn({ pid: this.#pid }, 'the other process has given up; nothing has changed')
      return false
    }
    if (end.decided) return false
    await door.proxyToPeer(againClock, this.#proof)
    log.info({ pid: this.#pid, connections: door.connections },
      'another process takes over: new connections go there')
    const isOff = (): boolean => this.#latest === 'gone' || end.decided
    await this.#until(() => isOff() || door.isAnswered, HAND_OVER_ANSWERS_MS_MAX)
    if (!isOff()) {
      door.restartSockets()
      supervisor.hold(true)
      await this.#until(this.#landed(isOff), graceMs())
    }
    if (!isOff()) return true
    if (end.decided) return false
    log.warn({ pid: this.#pid }, 'the process that was to take over is gone: this one goes on')
    supervisor.hold(false)
    await this.#until(() => end.decided || door.takeBack(), Infinity)
    return false
  }

  /**
   * Whether nothing is in flight any more, by the shards' counters after a turn. Deliveries to
   * receivers that hang are not waited for: the successor sends those webhooks again.
   */
  #landed(isOff: () => boolean): () => boolean {
    const { clock, links } = this.#parts
    const leftBehindUs = clock.nowUs() + msToUs(HAND_OVER_DELIVERIES_MS_MAX)
    const statsOf = (): ReturnType<typeof readStats>[] =>
      links.map(({ views }) => readStats(views.stats))
    const turns = statsOf().map((stats) => stats.turns)
    return () => isOff() || statsOf().every((stats, shard) =>
      stats.turns > (turns[shard] ?? 0) + 1 && stats.inFlight === 0 &&
      (stats.webhooksInFlight === 0 || clock.nowUs() >= leftBehindUs))
  }

  /** The end of step 5. */
  async #proxyRest(): Promise<void> {
    const { clock, door, log } = this.#parts
    const fromUs = clock.nowUs()
    log.info({ pid: this.#pid, connections: door.connections }, 'the other process has taken over')
    await this.#until(() => door.connections === 0, PROXY_MS_MAX)
    log.info({
      ms: Math.round((clock.nowUs() - fromUs) / US_PER_MS), connections: door.connections,
    }, 'ended after the take-over')
  }

  #report({ cutOff, queued }: StopSummary, isWritten: boolean, ms: number): void {
    const { links, log } = this.#parts
    reportCutOff(cutOff, links.map(({ views }) => views), log)
    if (!isWritten) log.error({}, 'the end of the journal could not be written')
    log.info({ pid: this.#pid, queued, ms: Math.round(ms) }, 'handed over')
  }

  #onMessage(said: ControlRequest | undefined): void {
    const step = said === undefined ? 'gone' : said['command']
    if (step !== 'listening' && step !== 'loaded' && step !== 'gone') return
    // It may disconnect after it has reported that it has loaded.
    if (this.#latest === 'loaded') return
    this.#latest = step
    this.#wake()
  }

  /** Waits for a new message of the successor; returns the latest one. */
  async #nextStep(): Promise<Step> {
    while (this.#latest === undefined ||
      (this.#latest === this.#handled && this.#latest !== 'gone')) {
      await new Promise<void>((resolve) => { this.#wake = resolve })
    }
    this.#handled = this.#latest
    return this.#latest
  }

  /** Polls until the condition holds, or the time is over. */
  #until(isSo: () => boolean, msMax: number): Promise<void> {
    const { clock } = this.#parts
    const lateUs = clock.nowUs() + msToUs(msMax)
    if (isSo()) return Promise.resolve()
    return new Promise((resolve) => {
      const stop = lookEvery(PROXY_LOOK_EVERY_MS, () => {
        if (!isSo() && clock.nowUs() < lateUs) return
        stop()
        resolve()
      })
    })
  }
}
