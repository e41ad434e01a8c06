// One run of the bench: the scenarios one after another, each with its own processes, then the
// reports.

import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { BenchError } from './bench-error.ts'
import type { ScenarioResult } from './figures.ts'
import { runFacts } from './machine.ts'
import { RUN_ID_LENGTH } from './payloads.ts'
import { type Progress, barProgress, lineProgress } from './progress.ts'
import { htmlReport } from './report/page.ts'
import { recordRun, RESULTS_FILE } from './report/record.ts'
import { textReport } from './report/text.ts'
import type { Bench } from './rig.ts'
import { density } from './scenarios/density.ts'
import { drain } from './scenarios/drain.ts'
import { fairness } from './scenarios/fairness.ts'
import { ingest } from './scenarios/ingest.ts'
import { journal } from './scenarios/journal.ts'
import { lanes } from './scenarios/lanes.ts'
import { pace } from './scenarios/pace.ts'
import { soak } from './scenarios/soak.ts'
import type { BenchSettings, ScenarioName } from './settings.ts'
import { Stage } from './stage.ts'
import { readCoreTicks, withStolenTime } from './stolen-time.ts'

const RUN: Readonly<Record<ScenarioName, (bench: Bench) => Promise<ScenarioResult>>> =
  { ingest, drain, pace, fairness, density, lanes, journal, soak }

/** What to run, and where to write the results. */
export interface RunRequest {
  readonly scenarios: readonly { readonly name: ScenarioName; readonly settings: BenchSettings }[]
  readonly jsonFile: string | undefined
  readonly htmlFile: string | undefined
  /** Write to bench/RESULTS.md. */
  readonly record: boolean
  /** The arguments after `sluice`. */
  readonly args: readonly string[]
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
}

export const BENCH_DONE = 0
export const BENCH_FAILED = 1

/**
 * Resolves with the exit code: 0 success, 1 failure, 128 plus the signal's number after SIGINT or
 * SIGTERM. Every process that was started has ended by then.
 */
export async function runBench(request: RunRequest): Promise<number> {
  const stops = new SignalStop()
  const results: ScenarioResult[] = []
  try {
    checkOutputs(request)
    for (const { name, settings } of request.scenarios) {
      results.push(await runScenario(name, settings, request, stops))
    }
    report(request, results)
    return BENCH_DONE
  } catch (error) {
    if (stops.exitCode !== undefined) return stops.exitCode
    const reason = error instanceof BenchError ? error.message : (error as Error).stack
    request.stderr(`sluice bench: ${reason}\n`)
    return BENCH_FAILED
  } finally {
    stops.forget()
  }
}

async function runScenario(
  name: ScenarioName, settings: BenchSettings, { stderr }: RunRequest, stops: SignalStop,
): Promise<ScenarioResult> {
  const stage = new Stage()
  const progress: Progress = process.stderr.isTTY
    ? barProgress(process.stderr) : lineProgress(stderr)
  const runId = randomBytes(RUN_ID_LENGTH / 2).toString('hex')
  const before = readCoreTicks()
  try {
    const result = await Promise.race([
      RUN[name]({ settings, stage, progress, runId, nextSequence: 0 }), stops.stopped, stage.failed,
    ])
    return withStolenTime(result, before, readCoreTicks())
  } finally {
    await stage.close()
  }
}

/** Throws unless all output files can be written at the end. */
function checkOutputs({ htmlFile, jsonFile, record }: RunRequest): void {
  for (const file of [jsonFile, htmlFile, record ? RESULTS_FILE : undefined]) {
    if (file === undefined) continue
    const isNew = !existsSync(file)
    try {
      closeSync(openSync(file, 'a'))
    } catch (error) {
      throw new BenchError(`cannot write ${file}: ${(error as Error).message}`)
    }
    if (isNew) rmSync(file)
  }
}

function report(request: RunRequest, results: readonly ScenarioResult[]): void {
  const facts = runFacts(request.args)
  request.stdout(textReport(facts, results))
  const { jsonFile, htmlFile } = request
  if (jsonFile !== undefined) {
    writeReport(jsonFile, `${JSON.stringify({ ...facts, scenarios: results }, null, 2)}\n`)
  }
  if (htmlFile !== undefined) writeReport(htmlFile, htmlReport(facts, results))
  if (request.record) recordRun(facts, results)
}

function writeReport(file: string, text: string): void {
  try {
    writeFileSync(file, text)
  } catch (error) {
    throw new BenchError(`cannot write ${file}: ${(error as Error).message}`)
  }
}

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const

/** Ends a scenario on a signal, whatever it waits for. */
class SignalStop {
  exitCode: number | undefined
  /** Rejects with the first signal. */
  readonly stopped: Promise<never>
  readonly #listeners: readonly (readonly ['SIGINT' | 'SIGTERM', () => void])[]

  constructor() {
    const { promise, reject } = Promise.withResolvers<never>()
    this.stopped = promise
    // Between two scenarios it has no awaiter.
    promise.catch(() => {})
    this.#listeners = (['SIGINT', 'SIGTERM'] as const).map((signal) => [signal, () => {
      this.exitCode ??= EXIT_CODES[signal]
      reject(new BenchError(`stopped by ${signal}`))
    }] as const)
    for (const [signal, listener] of this.#listeners) process.on(signal, listener)
  }

  forget(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener)
  }
}
