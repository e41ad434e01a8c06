// CPU steal while a scenario ran: time that a virtual machine's host gave to others. A run with
// much CPU steal measures that host, not the server: it is slower, and has longer tails.

import type { Figure, ScenarioResult } from './figures.ts'
import { readProc } from './process-files.ts'

/** Processor time of all cores together since the machine started, in ticks of /proc/stat. */
export interface CoreTicks {
  readonly all: number
  readonly stolen: number
}

/** user, nice, system, idle, iowait, irq, softirq, steal; later fields are in user and nice. */
const CORES_LINE = /^cpu ((?: +\d+){8})/m
const STEAL = 7

/** From the text of /proc/stat; undefined for anything else. */
export function parseCoreTicks(stat: string): CoreTicks | undefined {
  const ticks = CORES_LINE.exec(stat)?.[1]?.trim().split(/ +/).map(Number)
  if (ticks === undefined) return undefined
  return { all: ticks.reduce((sum, value) => sum + value, 0), stolen: ticks[STEAL] ?? 0 }
}

/** This machine's present counts; undefined without /proc. */
export const readCoreTicks = (): CoreTicks | undefined => parseCoreTicks(readProc('stat') ?? '')

/** The result with the CPU steal between the two, if it is known. */
export function withStolenTime(
  result: ScenarioResult, before: CoreTicks | undefined, after: CoreTicks | undefined,
): ScenarioResult {
  if (before === undefined || after === undefined || after.all <= before.all) return result
  const percent = ((after.stolen - before.stolen) / (after.all - before.all)) * 100
  const figure: Figure = {
    key: 'stolen', label: 'processor time that the host took away', value: percent, unit: '%',
  }
  return { ...result, figures: [...result.figures, figure] }
}
