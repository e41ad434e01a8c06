// The journals of a server: opening the data folder, loading the shards from it at the start, and
// running the compactors until the end. With --journal off, none of this exists.

import { monotonicUs } from '../../shards/base/clock.ts'
import type { Micros } from '../../shards/base/units.ts'
import { readJournalWords } from '../../shards/memory/journal-words.ts'
import { laneGroups } from '../../shards/memory/lane-limits.ts'
import { type Limits, planMemory } from '../../shards/memory/plan.ts'
import type { JournalSettings, KnownUpstreams } from '../../shards/wire/contract.ts'
import { fail } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { formatBytes } from '../base/quantities.ts'
import type { EngineMemory } from '../engine/memory.ts'
import { type CompactorStatus, Compactors } from './compactors.ts'
import { DataDirectory, readBootId } from './directory.ts'
import { readIdentity } from './identity.ts'
import { mergeUpstreams, settleUpstreams } from './known-upstreams.ts'

/** The user's settings. */
export interface JournalsSettings {
  readonly folder: string
  readonly mode: 'interval' | 'always'
  readonly intervalMs: number
  readonly version: string
  /** Whether the user set these; otherwise the folder's values may be used. */
  readonly isGiven: { readonly shards: boolean; readonly memory: boolean }
}

/** What is needed to move the jobs of a folder into an image for memory of other sizes. */
export interface MovingParts {
  readonly directory: DataDirectory
  /** The sizes of this start's memory. */
  readonly limits: Limits
  readonly boot: string
  readonly nowUs: Micros
  readonly log: Log
  /** Receives progress lines for the operator. */
  readonly tell: (line: string) => void
}

/** Moves them; rejects with a message for the operator when they cannot be moved. */
export type MoveJobs = (parts: MovingParts) => Promise<void>

/** The progress of loading, over all shards. */
export interface LoadingProgress {
  /** The part of the bytes that is loaded, 0 to 1. */
  readonly share: number
  readonly jobs: number
}

/** The data folder of one server, and the work on it. */
export class Journals {
  /** The sizes of the memory to allocate. */
  readonly limits: Limits
  readonly #settings: JournalsSettings
  readonly #directory: DataDirectory
  readonly #log: Log
  #memory: EngineMemory | undefined
  #compactors: Compactors | undefined
  #known: readonly KnownUpstreams[] = []
  #disputed: ReadonlySet<number> = new Set()

  private constructor(
    settings: JournalsSettings, directory: DataDirectory, limits: Limits, log: Log,
  ) {
    this.#settings = settings
    this.limits = limits
    this.#directory = directory
    this.#log = log
  }

  /**
   * Opens the data folder for memory of these sizes; the caller must hold its lock. If such memory
   * cannot hold the jobs as they are, `moveJobs` moves them first; `tell` receives its progress.
   * Fails with a message for the operator when the folder cannot be used.
   */
  static async open(
    settings: JournalsSettings, planned: Limits, log: Log, tell: (line: string) => void,
    moveJobs: MoveJobs,
  ): Promise<Journals> {
    const directory = DataDirectory.open(settings.folder, planned, settings.version)
    const limits = chooseLimits(settings, directory.limits, planned, log)
    if (!canHold(limits, directory.limits)) {
      await moveJobs({
        directory, limits, log, tell, boot: readBootId(), nowUs: monotonicUs(),
      })
    }
    return new Journals(settings, directory, limits, log)
  }

  /**
   * The setting, with its given value and the folder's, that prevents a start from loading the jobs
   * of the folder as they are; undefined when none does.
   */
  static misfit(settings: JournalsSettings, planned: Limits): string | undefined {
    const image = readIdentity(settings.folder)?.limits
    if (image === undefined) return undefined
    const chosen = chooseLimits(settings, image, planned, UNHEARD)
    if (canHold(chosen, image)) return undefined
    const differs = (flag: string, given: string, there: string): string =>
      `--${flag} ${given} where the running server has ${there}`
    if (chosen.shards !== image.shards) {
      return differs('shards', String(chosen.shards), String(image.shards))
    }
    for (const [flag, name] of RECORD_LIMITS) {
      if (chosen.recordBytesMax >= image.recordBytesMax || chosen[name] >= image[name]) continue
      return differs(flag, formatBytes(chosen[name]), formatBytes(image[name]))
    }
    return differs('memory', formatBytes(chosen.memoryBytes), formatBytes(image.memoryBytes))
  }

  /** The secret of the hashes in the journal. */
  get secret(): Uint8Array {
    return this.#directory.secret
  }

  get mode(): string {
    return this.#settings.mode
  }

  /** By shard; empty before begin(). */
  get statuses(): readonly CompactorStatus[] {
    return this.#compactors?.statuses ?? []
  }

  get progress(): LoadingProgress {
    let all = 0
    let read = 0
    let jobs = 0
    for (const { loadBytes, loadedBytes, loadedJobs } of this.statuses) {
      all += loadBytes
      read += loadedBytes
      jobs += loadedJobs
    }
    return { share: all === 0 ? 0 : read / all, jobs }
  }

  /** Whether everything that happened is written, as far as the shards know. */
  get isWritten(): boolean {
    return this.#memory !== undefined && this.trouble === undefined
  }

  /** Why something may not have been written; undefined when all is well. */
  get trouble(): string | undefined {
    const words = (this.#memory?.shards ?? []).map(readJournalWords)
    const where = `the journal in ${this.#settings.folder}`
    if (words.some(({ isLost }) => isLost)) return `files of ${where} were removed or replaced`
    return words.some(({ stalledUs }) => stalledUs !== 0) ? `${where} could not be written`
      : undefined
  }

  /** The journal settings of a shard. */
  readonly forShard = (shard: number): JournalSettings => ({
    directory: this.#directory.shardFolder(shard), mode: this.#settings.mode,
    intervalMs: this.#settings.intervalMs,
  })

  /**
   * Starts loading the shards into their fresh memory. Resolves with the upstreams in the journals,
   * long before the jobs are loaded; with undefined when the journals disagree, so that
   * upstreamsByJobs() must be called. Fails when a journal cannot be loaded.
   */
  async begin(memory: EngineMemory): Promise<KnownUpstreams | undefined> {
    this.#memory = memory
    this.#compactors = new Compactors({
      limits: memory.limits, memories: memory.shards.map((views) => views.buffer),
      shardFolder: (shard) => this.#directory.shardFolder(shard),
      mayMake: !this.#directory.isWhole, boot: readBootId(), log: this.#log,
    })
    const known = await this.#compactors.known
    if (!known.ok) return this.#refused(known.problem)
    this.#known = known.value
    const { agreed, disputed } = mergeUpstreams(known.value)
    this.#disputed = disputed
    return disputed.size === 0 ? agreed : undefined
  }

  /** Resolves when all is loaded: by shard, whether it had a journal; if not, it starts empty. */
  async loaded(): Promise<readonly boolean[]> {
    const loaded = await this.#compactors?.loaded
    if (loaded?.ok === false) return this.#refused(loaded.problem)
    if (this.#memory !== undefined) this.#directory.isComplete(this.#memory.limits)
    return (loaded?.value ?? []).map((sequence) => sequence > 0)
  }

  /** Call it after loaded() and before the shards start: the upstreams, as their jobs decide. */
  upstreamsByJobs(): KnownUpstreams {
    return settleUpstreams(this.#known, this.#disputed, this.#memory?.shards ?? [])
  }

  /** Closes everything; the shards must have ended. */
  async close(): Promise<void> {
    await this.#compactors?.stop()
  }

  #refused(problem: string): never {
    return fail('data_refused', `the jobs in ${this.#settings.folder} cannot be loaded: ${problem}`)
  }
}

/** For a check that logs nothing. */
const UNHEARD: Log = { info: () => {}, warn: () => {}, error: () => {} }

/**
 * The sizes of this start: the planned ones if they can hold the image; else the image's, as far as
 * the user has not set others.
 */

function chooseLimits(
  { folder, isGiven }: JournalsSettings, image: Limits, planned: Limits, log: Log,
): Limits {
  if (canHold(planned, image)) return planned
  const plan = planMemory({
    ...planned, ...(!isGiven.shards && { shards: image.shards }),
    ...(!isGiven.memory && { memoryBytes: image.memoryBytes }),
  })
  if (!plan.ok || !canHold(plan.limits, image)) return planned
  const { memoryBytes, shards } = plan.limits
  log.info({ folder, shards, memory_bytes: memoryBytes },
    'shards and memory are those of the data folder, where no others are set')
  return plan.limits
}

/** The settings that determine the largest record. */
const RECORD_LIMITS =
  [['body-limit', 'bodyBytesMax'], ['response-limit', 'responseBytesMax']] as const

/** Whether memory of some sizes can hold an image of others unchanged. */
function canHold(memory: Limits, image: Limits): boolean {
  const same = ['shards', 'segmentBytes', 'upstreamsMax'] as const
  // The number of groups decides which lanes of an upstream accounts share.
  if (laneGroups(memory) !== laneGroups(image)) return false
  const noLess = ['jobsMax', 'lanesMax', 'templatesMax', 'segmentsMax', 'recordBytesMax'] as const
  return same.every((name) => memory[name] === image[name]) &&
    noLess.every((name) => memory[name] >= image[name])
}
