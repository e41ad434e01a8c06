// The server from start to end: configuration, memory, shard threads, front door, report; then, on
// a signal, the same way back. Nothing here is on a job's path.

import { randomInt } from 'node:crypto'
import { SystemClock, measureWallOffsetUs } from '../shards/clock.ts'
import { type Limits, SHARD_DEATHS_WITHIN_MS, planMemory } from '../shards/limits.ts'
import { readStats } from '../shards/stats.ts'
import { MIB, type Micros } from '../shards/units.ts'
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE, type Surroundings } from './cli/program.ts'
import { startReport } from './cli/start-report.ts'
import {
  memorySettings, readExtraCa, shardSettings, upstreamResolver,
} from './config/derive.ts'
import type { LoadedConfig } from './config/load.ts'
import { type Outcome, formatProblems, showGiven } from './config/problem.ts'
import { formatBytes } from './config/quantities.ts'
import { type Config, SETTINGS } from './config/settings.ts'
import { OperatingError } from './errors.ts'
import { FrontDoor } from './front-door.ts'
import { type ProcessLog, createLog } from './log.ts'
import { type EngineMemory, allocateMemory, touchMemory } from './memory.ts'
import { ProcessEnd } from './process-end.ts'
import { type ShardLink, openShardLink } from './shard-link.ts'
import { type ShardLoss, Supervisor } from './supervisor.ts'
import { VERSION } from './version.ts'

/**
 * Runs the server until a signal, or until it cannot go on; resolves with the exit code.
 * SIGTERM and SIGINT: no new jobs, requests in flight are finished for up to the grace period,
 * exit 0. A second signal ends the process at once, with 128 and the signal's number.
 */
export async function serve(loaded: LoadedConfig, surroundings: Surroundings): Promise<number> {
  const prepared = prepare(loaded, surroundings.cwd)
  if (!prepared.ok) {
    surroundings.stderr(formatProblems(prepared.problems))
    return EXIT_USAGE
  }
  const log = createLog(loaded.config.logLevel)
  const end = new ProcessEnd(log)
  try {
    return await run(loaded, prepared.value, { log, end, surroundings })
  } catch (error) {
    // What a person can mend is said plainly; anything else is a defect, with its stack.
    if (error instanceof OperatingError) surroundings.stderr(`sluice: ${error.message}\n`)
    else log.error({ err: error }, 'the server could not start')
    return EXIT_FAILED
  } finally {
    end.forget()
    log.flush()
  }
}

interface Prepared {
  readonly limits: Limits
  readonly extraCaPem: string
}

interface Tools {
  readonly log: ProcessLog
  readonly end: ProcessEnd
  readonly surroundings: Surroundings
}

/** What can still be wrong with settings that are each valid: files, and memory for all of them. */
function prepare({ config, origins }: LoadedConfig, cwd: string): Outcome<Prepared> {
  const extraCa = readExtraCa(config, origins.caFile, cwd)
  const plan = planMemory(memorySettings(config))
  const problems = extraCa.ok ? [] : [...extraCa.problems]
  if (!plan.ok) {
    problems.push({
      key: SETTINGS.memoryBytes.key, source: origins.memoryBytes,
      given: showGiven(formatBytes(config.memoryBytes)),
      expected: `at least ${Math.ceil(plan.memoryBytesMin / MIB)}MiB for ${config.shards} ` +
        `${config.shards === 1 ? 'shard' : 'shards'} and bodies of up to ` +
        formatBytes(Math.max(config.bodyBytesMax, config.responseBytesMax)),
    })
  }
  return extraCa.ok && plan.ok
    ? { ok: true, value: { limits: plan.limits, extraCaPem: extraCa.value } }
    : { ok: false, problems }
}

async function run(loaded: LoadedConfig, prepared: Prepared, tools: Tools): Promise<number> {
  const { config } = loaded
  const { log, end, surroundings } = tools
  const allocated = allocateMemory(prepared.limits)
  if (!allocated.ok) {
    surroundings.stderr(`sluice: the system refused ${formatBytes(config.memoryBytes)} of memory ` +
      `(${allocated.reason}); give less with --memory\n`)
    return EXIT_FAILED
  }
  const { memory } = allocated
  if (config.touch) touchMemory(memory)

  const wallOffsetUs = measureWallOffsetUs()
  const links = memory.shards.map((views, shard) => openShardLink(shard, views))
  const door = openFrontDoor({ config, memory, links, wallOffsetUs, log })
  const supervisor = new Supervisor({
    memory, settings: shardSettings(config, prepared.extraCaPem), doors: links, wallOffsetUs,
    seed: randomInt(2 ** 32), clock: new SystemClock(wallOffsetUs), log,
    onLost: (loss) => end.lost(loss),
  })
  await supervisor.start()
  if (!end.decided) {
    const { host, port } = await door.listen()
    surroundings.stdout(startReport({
      limits: prepared.limits, touched: config.touch, configFile: loaded.file, host, port,
    }))
  }

  const reason = await end.reason
  if (reason.kind === 'lost') return giveUp(reason.loss, memory, log)
  log.info({ signal: reason.signal }, 'stopping')
  door.drain()
  const { queued, cutOff } = await supervisor.stop(config.graceMs)
  door.close()
  if (cutOff.length > 0) log.warn({ shards: cutOff }, 'requests in flight were cut off')
  if (queued > 0) log.warn({ queued }, 'queued jobs are given up: they were held in memory only')
  log.info({ queued }, 'stopped')
  return EXIT_OK
}

interface DoorParts {
  readonly config: Config
  readonly memory: EngineMemory
  readonly links: readonly ShardLink[]
  readonly wallOffsetUs: Micros
  readonly log: ProcessLog
}

function openFrontDoor({ config, memory, links, wallOffsetUs, log }: DoorParts): FrontDoor {
  const settingsOf = upstreamResolver(config)
  return new FrontDoor({
    config: {
      host: config.host, port: config.port, bodyBytesMax: config.bodyBytesMax,
      batchJobsMax: config.batchJobsMax, socketIdleMs: config.socketIdleMs, version: VERSION,
      settingsOf,
    },
    links, shared: memory.shared, clock: new SystemClock(wallOffsetUs), log,
  })
}

/** Shards end again and again, and the jobs go with the process: said clearly, then it ends. */
function giveUp(loss: ShardLoss, memory: EngineMemory, log: ProcessLog): number {
  let queued = 0
  for (const views of memory.shards) queued += readStats(views.stats).queued
  const { shard, reason, deaths } = loss
  const often = deaths === 1 ? 'could not start'
    : `was the last of ${deaths} shard threads to end within ${SHARD_DEATHS_WITHIN_MS / 1000} s`
  log.error({ shard, reason, deaths, queued },
    `shard ${shard} ${often}; the process ends and its queued jobs are lost`)
  return EXIT_FAILED
}
