// Whether new code can take over from the running code: every thread of the new pool must have
// loaded it, and it must use the same memory layout.

import type { Limits } from '../../shards/memory/plan.ts'
import { buildMark, differenceOf } from '../../shards/shard/build-mark.ts'
import type { BuildMark } from '../../shards/wire/contract.ts'
import type { ShardRun } from './shard-run.ts'

/** Resolves with undefined when all have loaded and can take over, else with the first reason. */
export function whyNotTakeOver(
  runs: readonly ShardRun[], limits: Limits,
): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const present = buildMark(limits)
  const looks = runs.map(async (run) => {
    const problem = problemOf(run, present, await run.loaded)
    if (problem !== undefined) resolve(problem)
  })
  void Promise.all(looks).then(() => resolve(undefined))
  return promise
}

function problemOf(
  run: ShardRun, present: BuildMark, mark: BuildMark | undefined,
): string | undefined {
  if (mark === undefined) return `the new code does not start: ${run.end?.reason}`
  return differenceOf(present, mark)
}
