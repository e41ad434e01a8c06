// Loaded into the measured server's process before its own code (--import): once a second, reports
// the main thread's heap, garbage collection and delays to the bench, on descriptor 3.

import { writeSync } from 'node:fs'
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'

/** One second of a server's main thread. */
export interface ServerSecond {
  readonly heapUsedBytes: number
  readonly heapTotalBytes: number
  /** Garbage collections. */
  readonly collections: number
  readonly collectionMs: number
  readonly longestCollectionMs: number
  /** Event-loop delay: maximum and 99th percentile. */
  readonly longestDelayMs: number
  readonly delayP99Ms: number
}

const WATCH_DESCRIPTOR = 3
const EVERY_MS = 1000
const DELAY_RESOLUTION_MS = 1
const NS_PER_MS = 1e6

function watch(): void {
  let collections = 0
  let collectionMs = 0
  let longestCollectionMs = 0
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      collections += 1
      collectionMs += duration
      longestCollectionMs = Math.max(longestCollectionMs, duration)
    }
  }).observe({ entryTypes: ['gc'] })
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
  delay.enable()
  setInterval(() => {
    const { heapUsed, heapTotal } = process.memoryUsage()
    const second: ServerSecond = {
      heapUsedBytes: heapUsed, heapTotalBytes: heapTotal, collections, collectionMs,
      longestCollectionMs, longestDelayMs: delay.max / NS_PER_MS - DELAY_RESOLUTION_MS,
      delayP99Ms: delay.percentile(99) / NS_PER_MS - DELAY_RESOLUTION_MS,
    }
    collections = collectionMs = longestCollectionMs = 0
    delay.reset()
    writeSync(WATCH_DESCRIPTOR, `${JSON.stringify(second)}\n`)
  }, EVERY_MS).unref()
}

if (isMainThread) watch()
