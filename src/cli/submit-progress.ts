// How far `sluice submit` is: a line that draws over itself, on a terminal only.

import type { Pauses } from './pauses.ts'
import type { RunCounts } from './submit-run.ts'
import { type BarTexts, TerminalBar } from './terminal-bar.ts'

/** Shows counts until it is ended. */
export interface SubmitProgress {
  update(counts: RunCounts): void
  /** Has a line written where the counts stand, which come again below it. */
  above(write: () => void): void
  /** Leaves the terminal as it was. */
  end(): void
}

/** @param isWaiting whether the jobs' results are waited for: these are what the bar is about. */
export function submitProgress(
  isWaiting: boolean, { nowUs }: Pauses, stream: NodeJS.WriteStream = process.stderr,
): SubmitProgress {
  if (!stream.isTTY) return { update: () => {}, above: (write) => write(), end: () => {} }
  const what = isWaiting ? '{finished} finished of {answered} accepted' : '{answered} accepted'
  const startUs = nowUs()
  const texts = (counts: RunCounts): BarTexts =>
    ({ ...counts, seconds: Math.floor((nowUs() - startUs) / 1_000_000) })
  const bar = new TerminalBar(stream,
    `${isWaiting ? '[{bar}] ' : ''}${what}, {refused} refused, {seconds} s`,
    1, texts({ answered: 0, refused: 0, finished: 0 }))
  return {
    update: (counts) =>
      bar.update(counts.finished, texts(counts), Math.max(1, counts.answered)),
    above: (write) => bar.above(write),
    end: bar.end,
  }
}
