// How far a run is: bars with rate and time left on a terminal, plain lines elsewhere.

import { TerminalBar } from '../../src/cli/terminal-bar.ts'

/** One thing that takes its time. */
export interface Task {
  /** @param done of the task's total; @param rate what to show as its rate, if anything. */
  update(done: number, rate?: string): void
  end(): void
}

/** Shows one task at a time. */
export interface Progress {
  /** @param total how far `update` will count, or 0 when nobody knows. */
  begin(title: string, total: number): Task
}

const TITLE_WIDTH = 34

/** Bars that draw over themselves. */
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

/** Between two lines about the same task. */
const LINE_EVERY_MS = 5000

/** A line when a task begins, one now and then, and nothing else. */
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
