// The server from start to end: configuration, memory, shard threads, front door, report; then, on
// a signal, a shutdown in reverse order. Not on the path of jobs. Reloads and take-overs are in
// src/handover, drains in drain.ts.

import { randomInt } from 'node:crypto'
import { SystemClock } from '../../shards/base/clock.ts'
import type { Limits } from '../../shards/memory/plan.ts'
import { Access } from '../access/access.ts'
import { OperatingError, fail } from '../base/errors.ts'
import { EXIT_FAILED, EXIT_OK, EXIT_USAGE } from '../base/exit-codes.ts'
import { CONTROL_TRIES_MAX } from '../base/limits.ts'
import { type Log, type ProcessLog, createLog } from '../base/log.ts'
import { formatProblems } from '../base/problem.ts'
import { type EndReason, ProcessEnd } from '../base/process-end.ts'
import { formatBytes } from '../base/quantities.ts'
import { VERSION } from '../base/version.ts'
import { dataFolderOf, keysFileOf, logFileOf } from '../config/derive.ts'
import { type Listener, ofKind } from '../config/listeners.ts'
import type { LoadedConfig } from '../config/load.ts'
import { type Prepared, prepare } from '../config/prepare.ts'
import type { Config } from '../config/settings.ts'
import { keyCommands } from '../control/key-commands.ts'
import { Control } from '../control/server-control.ts'
import { boundsOf, FrontDoor } from '../door/front-door.ts'
import { type EngineMemory, allocateMemory, touchMemory } from '../engine/memory.ts'
import { openShardLink, type ShardLink } from '../engine/shard-link.ts'
import { reportLoss, reportStop } from '../engine/stop-report.ts'
import { Supervisor } from '../engine/supervisor.ts'
import { touchAhead } from '../engine/touch-thread.ts'
import { HandOver } from '../handover/hand-over.ts'
import { Reloads } from '../handover/reloads.ts'
import { TakeOver } from '../handover/take-over.ts'
import { checkDirectory } from '../journal/directory.ts'
import { Journals, type JournalsSettings } from '../journal/journals.ts'
import { moveJobs } from '../reshard/moving.ts'
import { Drain } from './drain.ts'
import { loadShards } from './loading.ts'
import { startReport } from './start-report.ts'

/** The process that the server runs in. */
export interface ServerProcess {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
}

/**
 * Runs the server until a signal, or until it cannot continue; resolves with the exit code.
 * SIGTERM and SIGINT: no new jobs, requests in flight are finished within the grace period, exit 0.
 * A second signal ends the process at once, with exit code 128 plus the signal's number.
 * @param takesOver from a server that runs on the same data folder and port.
 */
export async function serve(
  loaded: LoadedConfig, io: ServerProcess, takesOver = false,
): Promise<number> {
  const prepared = prepare(loaded, io.cwd)
  if (!prepared.ok) {
    io.stderr(formatProblems(prepared.problems))
    return EXIT_USAGE
  }
  const log = openLog(loaded.config, io)
  if (log === undefined) return EXIT_FAILED
  process.on('SIGUSR1', log.reopen)
  const end = new ProcessEnd(log)
  const { cwd, env } = io
  const control = new Control(
    { control: loaded.config.control, dataFolder: dataFolderOf(loaded.config, cwd), cwd, env },
    new SystemClock(), log)
  try {
    const tools = { control, end, log, io }
    if (!takesOver) return await run(prepared.value, tools)
    return await runAfterAnother(prepared.value, tools)
  } catch (error) {
    // An OperatingError is for the operator; any other error is a defect, logged with its stack.
    if (error instanceof OperatingError) {
      await log.end()
      io.stderr(`sluice: ${error.message}\n`)
    } else {
      log.error({ err: error }, 'the server could not start')
    }
    return EXIT_FAILED
  } finally {
    control.close()
    end.forget()
    process.off('SIGUSR1', log.reopen)
    await log.end()
  }
}

/** Undefined, after printing the reason, when the log file cannot be opened. */
function openLog(config: Config, { cwd, stderr }: ServerProcess): ProcessLog | undefined {
  try {
    return createLog(config.logLevel, logFileOf(config, cwd))
  } catch (error) {
    stderr(`sluice: ${(error as Error).message}\n`)
    return undefined
  }
}

interface Tools {
  readonly control: Control
  readonly log: ProcessLog
  readonly end: ProcessEnd
  readonly io: ServerProcess
}

async function run(prepared: Prepared, tools: Tools, takeOver?: TakeOver): Promise<number> {
  const { loaded: { config } } = prepared
  const { control, end, log, io } = tools
  const dataFolder = dataFolderOf(config, io.cwd)
  warnOfMemory(prepared, log)
  if (dataFolder !== undefined) checkDirectory(dataFolder)
  await control.lock(takeOver === undefined ? 1 : CONTROL_TRIES_MAX)
  const access = openAccess(prepared, tools)
  const journals = await openJournals(prepared, dataFolder, tools)
  const memory = reserve(journals?.limits ?? prepared.limits, config)

  const links = memory.shards.map((views, shard) => openShardLink(shard, views))
  const door = makeDoor(prepared, { access, journals, links, memory }, log)
  const supervisor = new Supervisor({
    memory, settings: prepared.shard, doors: links, seed: randomInt(2 ** 32),
    clock: new SystemClock(), log, onLost: (loss) => end.lost(loss),
    ...(journals !== null && { journal: journals.forShard }),
  })
  const reloads = new Reloads({
    prepared, door, supervisor, access, end, log, cwd: io.cwd,
    clock: new SystemClock(),
  })
  const drain = new Drain({ door, links, end, log, clock: new SystemClock() })
  const handOver = new HandOver({
    door, links, supervisor, journals, control, end, log, clock: new SystemClock(),
    againClock: new SystemClock(),
    graceMs: () => reloads.prepared.loaded.config.graceMs,
  })
  reloads.listen()
  let listeners: readonly Listener[] = []
  const open = async (): Promise<void> => {
    listeners = await door.listen(false, takeOver?.server)
    await control.open(ofKind(listeners, 'callers')?.port ?? 0, new Map([
      ['reload', reloads.command], ['drain', drain.command], ['take-over', handOver.command],
      ...keyCommands(access.keys, log, new SystemClock()),
    ]))
  }
  try {
    const loaded = journals === null ? [] : await loadShards({
      journals, door, memory, end, clock: new SystemClock(), open,
      stdout: io.stdout,
    })
    if (loaded !== undefined) await supervisor.start(loaded)
    if (!end.decided) {
      if (listeners.length === 0) await open()
      door.ready()
      takeOver?.done(door)
    }
  } catch (error) {
    door.close()
    await supervisor.stop(0)
    await journals?.close()
    return Promise.reject(error)
  }
  if (listeners.length > 0 && !end.decided) report(prepared, memory, listeners, tools)

  const reason = await end.reason
  drain.stop()
  // After finish(), the key file is the successor's.
  await access.close()
  if (reason.kind === 'handedOver') return await handOver.finish() ? EXIT_OK : EXIT_FAILED
  return shutDown(reason, { door, supervisor, journals, log, memory, reloads })
}

/** The server listens, and nothing is in the way of its jobs. */
function report(
  { loaded: { config, file } }: Prepared, memory: EngineMemory, listeners: readonly Listener[],
  { io, log }: Tools,
): void {
  io.stdout(startReport({
    limits: memory.limits, config, configFile: file, dataFolder: dataFolderOf(config, io.cwd),
    listeners,
  }))
  // Only now: starting this thread would delay the start of the shards.
  if (!config.touch) touchAhead(memory, log)
}

interface DoorParts {
  readonly access: Access
  readonly journals: Journals | null
  readonly links: readonly ShardLink[]
  readonly memory: EngineMemory
}

function makeDoor(
  prepared: Prepared, { access, journals, links, memory }: DoorParts, log: ProcessLog,
): FrontDoor {
  const door = new FrontDoor({
    config: prepared.door, links, shared: memory.shared, clock: new SystemClock(), log,
    credentials: { keys: access.keys, tokens: access.jwt },
    ...(journals !== null && { secret: journals.secret }),
  })
  door.tables.journals = journals
  door.tables.logStatus = log.status
  access.keys.onGone(() => door.keysGone())
  return door
}

const openAccess = ({ jwt, loaded: { config } }: Prepared, { io, log }: Tools): Access =>
  new Access({
    keysFile: keysFileOf(config, io.cwd), isKeysFileNamed: config.keysFile !== '', jwt,
    clock: () => new SystemClock(), log,
  })

/** The server ends without a successor. */
async function shutDown(reason: EndReason, running: Running): Promise<number> {
  const { journals, log, memory, reloads } = running
  if (reason.kind === 'lost') {
    reportLoss(reason.loss, memory, journals?.isWritten === true, log)
    return EXIT_FAILED
  }
  log.info(reason, 'stopping')
  await stop(running, reloads.prepared.loaded.config.graceMs)
  return EXIT_OK
}

/** As run(), after a take-over from another server, or after that server has ended. */
async function runAfterAnother(prepared: Prepared, tools: Tools): Promise<number> {
  const { door, loaded: { config } } = prepared
  const { end, log, io: { cwd, stderr } } = tools
  const dataFolder = dataFolderOf(config, cwd)
  if (dataFolder === undefined) {
    stderr('sluice: --take-over needs a journal, by which jobs go from one process to the other; ' +
      'with --journal off there is none\n')
    return EXIT_USAGE
  }
  checkDirectory(dataFolder)
  const settings = journalsSettings(prepared, dataFolder)
  const misfit = settings === null ? undefined : Journals.misfit(settings, prepared.limits)
  if (misfit !== undefined) {
    stderr(`sluice: --take-over cannot change ${misfit}: jobs would have to be moved; give the ` +
      'same, or stop the server and start it anew\n')
    return EXIT_USAGE
  }
  const takeOver = await TakeOver.begin({
    dataFolder, listeners: door.listeners, bounds: boundsOf(door), end, log,
    clock: new SystemClock(),
  })
  if (takeOver === undefined) return EXIT_OK
  try {
    return await run(prepared, tools, takeOver)
  } finally {
    takeOver.close()
  }
}

interface Running {
  readonly door: FrontDoor
  readonly supervisor: Supervisor
  readonly journals: Journals | null
  readonly log: ProcessLog
  readonly memory: EngineMemory
  readonly reloads: Reloads
}

/** Graceful shutdown: requests in flight may finish; queued jobs stay in the journal, if any. */
async function stop(
  { door, journals, log, memory, supervisor }: Running, graceMs: number,
): Promise<void> {
  door.drain()
  const summary = await supervisor.stop(graceMs)
  door.close()
  const journal = journals === null ? null : { trouble: journals.trouble }
  await journals?.close()
  reportStop(summary, memory, journal, log)
}

/** The system reserves more memory than it has, and kills processes when it runs out. */
function warnOfMemory({ loaded: { config, sources: { machine } } }: Prepared, log: Log): void {
  if (config.memoryBytes <= machine.memoryBytes) return
  log.warn({
    memory: formatBytes(config.memoryBytes), machine: formatBytes(machine.memoryBytes),
  }, '--memory is more than this machine or its container has: as it fills, the system will end ' +
    'the process')
}

/** Fails when the system refuses so much memory. */
function reserve(limits: Limits, config: Config): EngineMemory {
  const allocated = allocateMemory(limits)
  if (!allocated.ok) {
    return fail('memory_refused', `the system refused ${formatBytes(limits.memoryBytes)} of ` +
      `memory (${allocated.reason}); give less with --memory`)
  }
  if (config.touch) touchMemory(allocated.memory)
  return allocated.memory
}

/** Null when jobs are held in memory only. */
async function openJournals(
  prepared: Prepared, folder: string | undefined, { log, io: { stdout } }: Tools,
): Promise<Journals | null> {
  const settings = journalsSettings(prepared, folder)
  if (settings === null) return null
  return Journals.open(settings, prepared.limits, log, (line) => stdout(`${line}\n`),
    moveJobs)
}

function journalsSettings(
  { loaded: { config, origins } }: Prepared, folder: string | undefined,
): JournalsSettings | null {
  if (folder === undefined || config.journal === 'off') return null
  return {
    folder, mode: config.journal, intervalMs: config.journalIntervalMs, version: VERSION,
    isGiven: { shards: origins.shards !== 'default', memory: origins.memoryBytes !== 'default' },
  }
}
