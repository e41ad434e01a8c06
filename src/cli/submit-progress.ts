// How far `sluice submit` is: a line that draws over itself, on a terminal only.

import { SingleBar } from 'cli-progress'
import type { RunCounts } from './submit-run.ts'

/** Shows counts until it is ended. */
export interface SubmitProgress {
  update(counts: RunCounts): void
  end(): void
}

const SILENT: SubmitProgress = { update: () => {}, end: () => {} }

/** @param isWaiting whether the jobs' outcomes are waited for: these are what the bar is about. */
export function submitProgress(isWaiting: boolean): SubmitProgress {
  if (!process.stderr.isTTY) return SILENT
  const what = isWaiting ? '{finished} finished of {answered} accepted' : '{answered} accepted'
  const bar = new SingleBar({
    stream: process.stderr, clearOnComplete: true, hideCursor: false, noTTYOutput: false,
    stopOnComplete: false, gracefulExit: false, barsize: 28,
    format: `${isWaiting ? '[{bar}] ' : ''}${what}, {refused} refused, {duration_formatted}`,
  })
  bar.start(1, 0, { answered: 0, refused: 0, finished: 0 })
  return {
    update: (counts) => {
      bar.setTotal(Math.max(1, counts.answered))
      bar.update(counts.finished, { ...counts })
    },
    end: () => bar.stop(),
  }
}
