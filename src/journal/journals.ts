// The journals in the life of a server: whose the data folder is, loading the shards from it at
// the start, and the compactors until the end. Without --journal there are none of these.

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

/** What the user has chosen. */
export interface JournalsSettings {
  readonly folder: string
  readonly mode: 'interval' | 'always'
  readonly intervalMs: number
  readonly version: string
  /** What somebody has asked for; the rest may be as the folder has it. */
  readonly isGiven: { readonly shards: boolean; readonly memory: boolean }
}

/** What it takes to move the jobs of a folder into an image for memory of other sizes. */
export interface MovingParts {
  readonly directory: DataDirectory
  /** Of the memory of this start. */
  readonly limits: Limits
  readonly boot: string
  readonly nowUs: Micros
  readonly log: Log
  /** Gets lines for people about how far it is. */
  readonly tell: (line: string) => void
}

/** Moves them; rejects with a sentence for people when they cannot be moved. */
export type MoveJobs = (parts: MovingParts) => Promise<void>

/** How far loading is, all shards together. */
export interface LoadingProgress {
  /** Of the bytes, 0 to 1. */
  readonly share: number
  readonly jobs: number
}

/** The data folder of one server, and what goes on in it. */
export class Journals {
  /** Of the memory that is to be allocated. */
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
   * Opens the data folder for memory of these sizes; to be called by whoever has its lock. Jobs
   * that such memory cannot hold as they are get moved first, by `moveJobs`; `tell` gets lines
   * about that. Fails with a sentence for people when the folder cannot be used.
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
   * Which setting, as it is given and as the folder has it, keeps a start from taking the jobs of
   * the folder as they are; undefined when none does.
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

  /** Of the hashes in the journal. */
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

  /** Whether all that has happened is written, as far as the shards could. */
  get isWritten(): boolean {
    return this.#memory !== undefined && this.trouble === undefined
  }

  /** Why something may not be written; undefined while all is well. */
  get trouble(): string | undefined {
    const words = (this.#memory?.shards ?? []).map(readJournalWords)
    const where = `the journal in ${this.#settings.folder}`
    if (words.some(({ isLost }) => isLost)) return `files of ${where} were removed or replaced`
    return words.some(({ stalledUs }) => stalledUs !== 0) ? `${where} could not be written`
      : undefined
  }

  /** How a shard writes its journal. */
  readonly forShard = (shard: number): JournalSettings => ({
    directory: this.#directory.shardFolder(shard), mode: this.#settings.mode,
    intervalMs: this.#settings.intervalMs,
  })

  /**
   * Begins to load the shards into their fresh memory. Resolves with the upstreams that the
   * journals know, long before the jobs are there; with undefined when only the jobs can tell,
   * and then upstreamsByJobs() is to be asked. Fails when a journal cannot be loaded.
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

  /** Resolves when all is loaded: by shard, whether it goes on from there or begins anew. */
  async loaded(): Promise<readonly boolean[]> {
    const loaded = await this.#compactors?.loaded
    if (loaded?.ok === false) return this.#refused(loaded.problem)
    if (this.#memory !== undefined) this.#directory.isComplete(this.#memory.limits)
    return (loaded?.value ?? []).map((sequence) => sequence > 0)
  }

  /** After loaded() and before the shards begin: the upstreams, as their jobs decide. */
  upstreamsByJobs(): KnownUpstreams {
    return settleUpstreams(this.#known, this.#disputed, this.#memory?.shards ?? [])
  }

  /** The shards have ended: closes everything. */
  async close(): Promise<void> {
    await this.#compactors?.stop()
  }

  #refused(problem: string): never {
    return fail('data_refused', `the jobs in ${this.#settings.folder} cannot be loaded: ${problem}`)
  }
}

/**
 * The sizes of this start: those that were planned, if they can hold the image. Else those of the
 * image as far as nobody has asked for others.
 */
const UNHEARD: Log = { info: () => {}, warn: () => {}, error: () => {} }

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
    'shards and memory are as the data folder has them, where nobody has asked for others')
  return plan.limits
}

/** What the largest record follows from. */
const RECORD_LIMITS =
  [['body-limit', 'bodyBytesMax'], ['response-limit', 'responseBytesMax']] as const

/** Whether memory of some sizes holds an image of others as it is. */
function canHold(memory: Limits, image: Limits): boolean {
  const same = ['shards', 'segmentBytes', 'upstreamsMax'] as const
  // Which of an upstream's lanes accounts share goes by their number.
  if (laneGroups(memory) !== laneGroups(image)) return false
  const noLess = ['jobsMax', 'lanesMax', 'templatesMax', 'segmentsMax', 'recordBytesMax'] as const
  return same.every((name) => memory[name] === image[name]) &&
    noLess.every((name) => memory[name] >= image[name])
}
