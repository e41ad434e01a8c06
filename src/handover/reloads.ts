// Replaces the code of a running server by what is on disk, and its configuration by its sources'
// present values: first everything is loaded and checked, then the shards are handed over, and
// last, in one step that cannot fail, the door logic. A refusal before that step changes nothing.

import type { Clock } from '../../shards/base/clock.ts'
import { US_PER_MS } from '../../shards/base/units.ts'
import type { Access } from '../access/access.ts'
import type { ProcessLog } from '../base/log.ts'
import { type Problem, formatProblems } from '../base/problem.ts'
import type { ProcessEnd } from '../base/process-end.ts'
import { changesThatNeedRestart } from '../config/live.ts'
import type { Prepared } from '../config/prepare.ts'
import type { ControlAnswer } from '../control/commands.ts'
import type { Logic } from '../door/door-logic.ts'
import { DOOR_FORM } from '../door/door-tables.ts'
import type { FrontDoor } from '../door/front-door.ts'
import type { Supervisor } from '../engine/supervisor.ts'
import { describeFault, loadNewCode } from './new-code.ts'

/** The result of a reload; the reason is for the operator, and may have several lines. */
type ReloadAnswer =
  | { readonly ok: true, readonly ms: number }
  | { readonly ok: false, readonly reason: string }

/** What reloads need. */
export interface ReloadParts {
  readonly prepared: Prepared
  readonly door: FrontDoor
  readonly supervisor: Pick<Supervisor, 'reload'>
  readonly access: Pick<Access, 'check' | 'reload'>
  readonly end: Pick<ProcessEnd, 'decided'>
  readonly log: ProcessLog
  /** Base of relative paths in settings. */
  readonly cwd: string
  /** Its own, since a clock has one wake-up. */
  readonly clock: Clock
}

/** The new door logic and configuration. */
interface Replacement {
  readonly prepared: Prepared
  readonly logic: Logic
}

type Refused = ReloadAnswer & { readonly ok: false }
type CheckedBuild = { readonly ok: true, readonly replacement: Replacement } | Refused

/** All reloads of a server, one at a time. */
export class Reloads {
  readonly #parts: ReloadParts
  #prepared: Prepared
  #isUnderWay = false

  constructor(parts: ReloadParts) {
    this.#parts = parts
    this.#prepared = parts.prepared
  }

  /** The configuration in effect. */
  get prepared(): Prepared {
    return this.#prepared
  }

  /** Reloads on SIGHUP from now on. */
  listen(): void {
    process.on('SIGHUP', () => { void this.#reload() })
  }

  /** The command `reload`. */
  readonly command = async (): Promise<ControlAnswer> => {
    const result = await this.#reload()
    return result.ok ? { ok: true, fields: { ms: result.ms } }
      : { ok: false, error: result.reason }
  }

  /** Replaces code and configuration, or returns why not; never rejects. */
  async #reload(): Promise<ReloadAnswer> {
    const { clock, door: { tables }, end } = this.#parts
    if (this.#isUnderWay) return this.#refuse('another reload is under way')
    if (tables.phase === 'starting') return this.#refuse('the server is still starting')
    if (end.decided) return this.#refuse('the server is stopping')
    this.#isUnderWay = true
    const startedUs = clock.nowUs()
    const result = await this.#try().catch((error: unknown) => {
      this.#parts.log.error({ err: error }, 'a reload failed because of a defect')
      return refused(`it failed while it changed over: ${describeFault(error)}`)
    })
    this.#isUnderWay = false
    if (!result.ok) return this.#refuse(result.reason)
    return this.#note((clock.nowUs() - startedUs) / US_PER_MS)
  }

  async #try(): Promise<{ readonly ok: true } | Refused> {
    const { access, door, end, log, supervisor } = this.#parts
    const checked = await this.#check()
    if (!checked.ok) return checked
    const { logic, prepared } = checked.replacement
    const shards = await supervisor.reload(prepared.shard)
    if (!shards.ok) return shards
    await access.reload(prepared.jwt)
    // The shutdown uses the present door logic, so it must not change now.
    if (end.decided) return refused('the server is stopping')
    door.replaceLogic(logic)
    log.setLevel(prepared.loaded.config.logLevel)
    this.#prepared = prepared
    return { ok: true }
  }

  /** Loads and checks everything; changes nothing. */
  async #check(): Promise<CheckedBuild> {
    const { access, clock, cwd, door } = this.#parts
    const loaded = await loadNewCode(clock)
    if (!loaded.ok) return refused(`the new code does not load: ${loaded.reason}`)
    const { code } = loaded
    if (code.DOOR_FORM !== DOOR_FORM) {
      return refused(`the new code keeps the front door's tables in form ${code.DOOR_FORM}, not ` +
        `${DOOR_FORM}: it needs a restart`)
    }
    try {
      const { config, sources } = this.#prepared.loaded
      const read = code.loadConfig(sources)
      if (!read.ok) return misconfigured(read.problems)
      const stuck = changesThatNeedRestart(config, read.value)
      if (stuck.length > 0) return misconfigured(stuck)
      const prepared = code.prepare(read.value, cwd)
      if (!prepared.ok) return misconfigured(prepared.problems)
      const misfit = access.check(prepared.value.jwt)
      if (misfit !== undefined) return refused(misfit)
      const logic = new code.DoorLogic(door.partsFor(prepared.value.door))
      return { ok: true, replacement: { prepared: prepared.value, logic } }
    } catch (error) {
      return refused(`the new code does not start: ${describeFault(error)}`)
    }
  }

  #note(ms: number): ReloadAnswer {
    const { door: { tables }, log } = this.#parts
    tables.reloads++
    tables.lastReload = { atMs: this.#wallMs(), ok: true, reason: null }
    log.info({ ms: Math.round(ms), reloads: tables.reloads }, 'reloaded code and configuration')
    return { ok: true, ms: Math.round(ms) }
  }

  #refuse(reason: string): ReloadAnswer {
    const { door: { tables }, log } = this.#parts
    tables.lastReload = { atMs: this.#wallMs(), ok: false, reason }
    log.warn({ reason }, 'the reload is refused; nothing has changed')
    return refused(reason)
  }

  #wallMs(): number {
    const { clock } = this.#parts
    return clock.wallMs(clock.nowUs())
  }
}

const refused = (reason: string): Refused => ({ ok: false, reason })

const misconfigured = (problems: readonly Problem[]): Refused =>
  refused(formatProblems(problems).replace(/^sluice: /, '').trimEnd())
