// The progress of `sluice drain`: on a terminal a bar with rate and time left, else plain lines.

import { SingleBar } from 'cli-progress'
import type { Progress } from '../control/client.ts'

/** Shows the server's progress reports. */
export interface DrainProgress {
  update(progress: Progress): void
  end(): void
}

/** The interval of plain lines. */
const LINE_EVERY_MS = 5000
/** The period that the rate is averaged over. */
const RATE_OVER_MS = 10_000

/** @param write writes plain lines. */
export function drainProgress(write: (line: string) => void): DrainProgress {
  return process.stdout.isTTY ? barProgress(process.stdout) : lineProgress(write)
}

function barProgress(stream: NodeJS.WriteStream): DrainProgress {
  const bar = new SingleBar({
    stream, clearOnComplete: true, hideCursor: false, noTTYOutput: false, stopOnComplete: false,
    gracefulExit: false, barsize: 28,
    format: 'draining [{bar}] {percentage}% {text}',
  })
  const trend = new Trend()
  bar.start(1, 0, { text: '' })
  return {
    update: (progress) => {
      trend.note(progress)
      bar.setTotal(Math.max(1, trend.most))
      bar.update(trend.most - trend.left, { text: describe(progress, trend) })
    },
    end: () => bar.stop(),
  }
}

/** Exported for its test. */
export function lineProgress(write: (line: string) => void): DrainProgress {
  const trend = new Trend()
  let nextMs = 0
  return {
    update: (progress) => {
      trend.note(progress)
      if (trend.atMs < nextMs) return
      nextMs = trend.atMs + LINE_EVERY_MS
      write(`draining: ${describe(progress, trend)}\n`)
    },
    end: () => {},
  }
}

/** `4 left: 3 queued (oldest 5 s, job 5f…), 1 owed to webhooks (oldest 2 min 5 s, …), 2/s, …` */
function describe(progress: Progress, trend: Trend): string {
  const { perSecond } = trend
  const parts = [
    part(progress, 'queued', 'queued'), part(progress, 'in_flight', 'in flight'),
    part(progress, 'webhooks', 'owed to webhooks'), part(progress, 'arriving', 'arriving'),
  ].filter((text) => text !== '')
  const pace = perSecond > 0
    ? `, ${perSecond.toFixed(perSecond < 10 ? 1 : 0)}/s, ${showWait(trend.left / perSecond)} left`
    : ''
  return `${show(progress['left'])} left${parts.length > 0 ? ': ' : ''}${parts.join(', ')}${pace}`
}

/** `3 queued (oldest 5 s, job 5f…, next in 2 s)`; empty where nothing of it is left. */
function part(progress: Progress, name: string, words: string): string {
  const count = Number(progress[name] ?? 0)
  if (count === 0) return ''
  const all = (progress['waits_for'] ?? {}) as Record<string, Record<string, unknown> | undefined>
  const { next_due_ms: dueMs, oldest_job_id: jobId, oldest_s: ageS } = all[name] ?? {}
  const facts = [
    ...(ageS === undefined ? [] : [`oldest ${showWait(Number(ageS))}, job ${String(jobId)}`]),
    ...(dueMs === undefined ? [] : [`next in ${showWait(Number(dueMs) / 1000)}`]),
  ]
  return `${show(count)} ${words}${facts.length > 0 ? ` (${facts.join(', ')})` : ''}`
}

const show = (count: unknown): string => Number(count ?? 0).toLocaleString('en-US')

/** 12 → `12 s`, 200 → `3 min 20 s`, 9000 → `2 h 30 min` */
function showWait(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  return minutes < 60 ? `${minutes} min ${whole % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** What is left over time, by the server's clock. */
class Trend {
  /** The maximum so far. */
  most = 0
  #samples: { readonly atMs: number, readonly left: number }[] = []

  note(progress: Progress): void {
    const atMs = Number(progress['elapsed_ms'] ?? 0)
    const left = Number(progress['left'] ?? 0)
    this.most = Math.max(this.most, left)
    this.#samples = this.#samples.filter((sample) => atMs - sample.atMs <= RATE_OVER_MS)
    this.#samples.push({ atMs, left })
  }

  get left(): number {
    return this.#samples.at(-1)?.left ?? 0
  }

  get atMs(): number {
    return this.#samples.at(-1)?.atMs ?? 0
  }

  /** 0 while it is not known. */
  get perSecond(): number {
    const first = this.#samples[0]
    if (first === undefined || first.atMs === this.atMs) return 0
    return Math.max(0, (first.left - this.left) * 1000 / (this.atMs - first.atMs))
  }
}
