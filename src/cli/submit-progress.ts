// The progress of `sluice submit`: a line that is redrawn in place, on a terminal only.

import type { Pauses } from './pauses.ts'
import type { RunCounts } from './submit-run.ts'
import { type BarTexts, TerminalBar } from './terminal-bar.ts'

/** Shows counts. */
export interface SubmitProgress {
  update(counts: RunCounts): void
  /** Writes a line in place of the counts, which are redrawn below it. */
  above(write: () => void): void
  /** Removes the line. */
  end(): void
}

/** @param isWaiting whether the command waits for results: the bar then shows these. */
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
