// The progress of a run: bars with rate and time left on a terminal, plain lines elsewhere.

import { TerminalBar } from '../../src/cli/terminal-bar.ts'

/** A task with progress. */
export interface Task {
  /** @param done out of the task's total; @param rate the rate to show, if any. */
  update(done: number, rate?: string): void
  end(): void
}

/** Shows one task at a time. */
export interface Progress {
  /** @param total the final count of `update`, or 0 when it is not known. */
  begin(title: string, total: number): Task
}

const TITLE_WIDTH = 34

/** Bars that are redrawn in place. */
export function barProgress(stream: NodeJS.WriteStream): Progress {
  return {
    begin: (title, total) => {
      const bar = new TerminalBar(stream,
        `${title.padEnd(TITLE_WIDTH)} [{bar}] {percentage}% {rate} {eta_formatted} left`,
        total === 0 ? 1 : total, { rate: '' })
      return {
        update: (done, rate = '') => bar.update(total === 0 ? 0 : Math.min(done, total), { rate }),
        end: bar.end,
      }
    },
  }
}

/** The interval of lines about a task. */
const LINE_EVERY_MS = 5000

/** A line when a task begins, and then one every LINE_EVERY_MS. */
export function lineProgress(write: (line: string) => void): Progress {
  return {
    begin: (title, total) => {
      write(`${title} ...\n`)
      const startMs = performance.now()
      let lastMs = startMs
      return {
        update: (done, rate = '') => {
          const nowMs = performance.now()
          if (nowMs - lastMs < LINE_EVERY_MS || total === 0) return
          lastMs = nowMs
          const share = Math.min(1, done / total)
          const leftS = share === 0 ? Number.NaN : ((nowMs - startMs) / 1000) * (1 / share - 1)
          const left = Number.isNaN(leftS) ? '' : `, ${Math.ceil(leftS)} s left`
          write(`${title}: ${Math.floor(share * 100)} % ${rate}${left}\n`)
        },
        end: () => {},
      }
    },
  }
}
