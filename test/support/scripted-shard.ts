// A stand-in for a shard's thread that does as it is told, for the supervisor's tests. Its default
// export has the contract of shards/worker.ts.

import type { ShardControl, ShardReport, ShardTask } from '../../shards/contract.ts'

/** What a scripted shard does. */
export type Script = 'obeys' | 'ignores-stop' | 'throws' | 'exits' | 'returns' | 'never-ready'

/** Shard 0 always obeys; the others follow the script that `settings.userAgent` names. */
export default function run(task: ShardTask): Promise<{ queued: number }> {
  const script: Script = task.shard === 0 ? 'obeys' : task.settings.userAgent as Script
  const { promise, resolve } = Promise.withResolvers<{ queued: number }>()
  const report = (message: ShardReport): void => task.port.postMessage(message)
  const end = (queued: number): void => {
    report({ kind: 'stopped', queued })
    task.port.close()
    resolve({ queued })
  }
  task.port.on('message', (control: ShardControl) => {
    if (script === 'ignores-stop' && control.kind === 'stop') return
    end(control.kind === 'stop' ? 10 + task.shard : 100)
  })
  report({ kind: 'log', level: 'warn', message: 'hello', fields: { seed: task.seed } })
  if (script === 'never-ready') throw new Error('scripted failure')
  report({ kind: 'ready' })
  if (script === 'throws') setImmediate(() => fail('scripted failure'))
  if (script === 'exits') setImmediate(() => process.exit(7))
  if (script === 'returns') end(5)
  return promise
}

function fail(message: string): never {
  throw new Error(message)
}
