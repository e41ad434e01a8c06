// A scripted replacement of a shard's thread, for tests of the supervisor. Its default export has
// the signature of shards/shard/worker.ts.

import type { MessagePort } from 'node:worker_threads'
import { monotonicUs } from '../../shards/base/clock.ts'
import { attachShard } from '../../shards/memory/layout.ts'
import { StatsWriter } from '../../shards/memory/stats.ts'
import { buildMark } from '../../shards/shard/build-mark.ts'
import type {
  BuildMark, Recovered, ShardControl, ShardReport, ShardTask,
} from '../../shards/wire/contract.ts'

const BEAT_EVERY_MS = 100

/** What a scripted shard does. */
export type Script = 'obeys' | 'ignores-stop' | 'throws' | 'exits' | 'returns' | 'never-ready' |
  'breaks' | 'hangs' | 'fills-heap' | 'throws-always' | HandOverScript

/** What it does when it hands over, or takes over. */
type HandOverScript = 'relays' | 'relays-for-ever' | 'dies-handing-over' | 'hangs-handing-over' |
  'never-loads' | 'other-layout' | 'other-sizes' | 'other-baton' | 'dies-loading' |
  'dies-taking-over' | 'reports-settings'

/** What scripts report that take over from a crashed one. */
export const RECOVERED: Recovered = {
  jobs: 7, inFlight: 2, webhooks: 1, finished: 3, ms: 4, setAside: null,
}

/**
 * Shard 0 always obeys; the others follow the script that `settings.userAgent` names. A successor
 * of a crashed thread obeys, except with `throws-always`.
 */
export default function run(task: ShardTask): Promise<{ queued: number }> {
  const named = task.settings.userAgent as Script
  const isFirst = !task.recover || named === 'throws-always'
  const script: Script = task.shard === 0 || !isFirst ? 'obeys' : named
  const { promise, resolve } = Promise.withResolvers<{ queued: number }>()
  const { stats } = attachShard(task.shardBuffers[task.shard] as SharedArrayBuffer, task.limits)
  let isMine = task.handOver === undefined
  const beat = (): void => {
    if (isMine) new StatsWriter(stats).set('heartbeatUs', monotonicUs())
  }
  setInterval(beat, BEAT_EVERY_MS).unref()
  const report = (message: ShardReport): void => task.port.postMessage(message)
  const end = (queued: number): void => {
    report({ kind: 'stopped', queued })
    task.port.close()
    task.handOver?.close()
    resolve({ queued })
  }
  task.port.on('message', (control: ShardControl) => {
    if (script === 'ignores-stop' && control.kind === 'stop') return
    if (control.kind === 'takeOver') {
      isMine = true
      return takeOver(script, report)
    }
    if (control.kind !== 'handOver') {
      if (isMine || control.kind === 'abort') end(control.kind === 'stop' ? 10 + task.shard : 100)
      return
    }
    isMine = false
    handOver(script, control.port, report, () => {
      task.port.close()
      resolve({ queued: 0 })
    })
  })
  if (task.handOver !== undefined) {
    if (script === 'dies-loading') fail('scripted failure')
    const mark = { ...buildMark(task.limits), ...OTHER_MARKS[script] }
    if (script !== 'never-loads') report({ kind: 'loaded', mark })
    return promise
  }
  report({ kind: 'log', level: 'warn', message: 'hello', fields: { seed: task.seed } })
  if (script === 'never-ready') throw new Error('scripted failure')
  report({ kind: 'ready', recovered: task.recover ? RECOVERED : null })
  if (script.startsWith('throws')) setImmediate(() => fail('scripted failure'))
  if (script === 'exits') setImmediate(() => process.exit(7))
  if (script === 'returns') end(5)
  if (script === 'hangs') setImmediate(() => { for (;;); })
  if (script === 'fills-heap') setImmediate(fillHeap)
  if (script === 'breaks') {
    report({ kind: 'broken', error: 'scripted assertion' })
    setImmediate(() => process.exit(1))
  }
  return promise
}

const OTHER_MARKS: Partial<Record<Script, Partial<BuildMark>>> = {
  'other-layout': { layout: 77 }, 'other-sizes': { regions: 77 }, 'other-baton': { baton: 77 },
}

/** The old thread's part; `end` ends it. */
function handOver(
  script: Script, port: MessagePort, report: (message: ShardReport) => void, end: () => void,
): void {
  if (script === 'dies-handing-over') process.exit(7)
  if (script === 'hangs-handing-over') for (;;);
  port.postMessage('baton')
  report({ kind: 'handedOver' })
  if (script === 'relays-for-ever') return
  if (script === 'relays') port.on('close', end)
  else {
    port.close()
    end()
  }
}

function takeOver(script: Script, report: (message: ShardReport) => void): void {
  if (script === 'dies-taking-over') process.exit(7)
  report({ kind: 'ready', recovered: null })
  if (script !== 'relays-for-ever') report({ kind: 'relayEnded' })
}

function fail(message: string): never {
  throw new Error(message)
}

/** Until the thread's heap is exhausted. */
function fillHeap(): void {
  const kept: object[] = []
  for (;;) kept.push(Array.from({ length: 100_000 }, (_, at) => ({ at })))
}
