// How much of V8's old space repeated rounds of the same work fill, which only a full collection
// frees. The work is done in a process of its own, since the test runner's hooks allocate, too.

import { execFile } from 'node:child_process'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { getHeapSpaceStatistics } from 'node:v8'

const ROUNDS = 7

/** For the program: does the work in rounds and prints the growth of each. */
export async function tellGrowths(round: () => Promise<void>): Promise<void> {
  const growths: number[] = []
  for (let rounds = 0; rounds < ROUNDS; rounds++) {
    const before = oldSpaceBytes()
    await round()
    growths.push(oldSpaceBytes() - before)
  }
  process.stdout.write(JSON.stringify(growths))
}

const oldSpaceBytes = (): number => getHeapSpaceStatistics()
  .find(({ space_name }) => space_name === 'old_space')?.space_used_size ?? Number.NaN

/** For the test: runs the program; returns the median growth of a round in bytes. */
export async function growthOfRound(program: string, t: TestContext): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath,
    ['--disable-warning=ExperimentalWarning', program])
  const growths = JSON.parse(stdout) as number[]
  t.diagnostic(`old objects by round: ${growths.map((bytes) => Math.round(bytes / 1024))} KiB`)
  // The median, since rounds with a full collection or much compilation are outliers.
  return growths.toSorted((left, right) => left - right)[growths.length >> 1] ?? Number.NaN
}
