// One task of a shard in one thread, from its start to its end. Either it owns the shard's memory,
// or it waits to take it over, or it has handed it over and relays its requests in flight; only the
// supervisor knows which.

import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { Micros } from '../../shards/base/units.ts'
import type {
  BuildMark, Recovered, ShardControl, ShardReport, ShardTask,
} from '../../shards/wire/contract.ts'
import type { ShardPool } from './shard-pool.ts'

/** How a run ended. */
export interface RunEnd {
  /** Jobs that were still queued, as it reported. */
  readonly queued: number
  /** The cause, as one line for the log. */
  readonly reason: string
  /** Its task did not end by itself. */
  readonly hasFailed: boolean
}

/** What a run is made with. */
export interface RunOptions {
  readonly pool: ShardPool
  readonly task: Omit<ShardTask, 'port' | 'handOver'>
  readonly startedUs: Micros
  /** It waits for the baton of its predecessor. */
  readonly takesOver: boolean
  /** Called synchronously for each report. */
  readonly hear: (run: ShardRun, report: ShardReport) => void
  /** Called once, after all of its reports. */
  readonly over: (run: ShardRun, end: RunEnd) => void
}

/** One run of a shard's task. */
export class ShardRun {
  readonly shard: number
  readonly pool: ShardPool
  readonly takesOver: boolean
  /** It starts on the memory of a crashed thread. */
  readonly recovers: boolean
  /** When its present state began. */
  sinceUs: Micros
  isReady = false
  /** Resolves when it is ready, with what it took over; with undefined when it ends before that. */
  readonly ready: Promise<{ readonly recovered: Recovered | null } | undefined>
  /** Resolves with its build mark, or undefined when it ends before that. */
  readonly loaded: Promise<BuildMark | undefined>
  isLoaded = false
  /** Resolves when it has handed over, or ended. */
  readonly handedOver: Promise<void>
  /** The run that takes over when this one has handed over. */
  successor: ShardRun | undefined
  /** When its successor stopped needing the relay; Infinity before that. */
  relayEndedUs = Infinity
  /** Set when it has ended. */
  end: RunEnd | undefined
  /** Resolves when it has ended; never rejects. */
  readonly ended: Promise<void>
  readonly #port: MessagePort
  /** The predecessor's end of the baton's channel. */
  readonly #batonPort: MessagePort | undefined
  readonly #terminate = new AbortController()
  #broken: string | undefined
  readonly #isReady = Promise.withResolvers<{ readonly recovered: Recovered | null } | undefined>()
  readonly #isLoaded = Promise.withResolvers<BuildMark | undefined>()
  readonly #hasHandedOver = Promise.withResolvers<void>()

  constructor(options: RunOptions) {
    const { pool, task, startedUs, takesOver, over } = options
    this.shard = task.shard
    this.pool = pool
    this.takesOver = takesOver
    this.recovers = task.recover
    this.sinceUs = startedUs
    this.ready = this.#isReady.promise
    this.loaded = this.#isLoaded.promise
    this.handedOver = this.#hasHandedOver.promise
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    port1.on('message', (report: ShardReport) => this.#onReport(report, options))
    const transfer = [port2]
    let handOver: MessagePort | undefined
    if (takesOver) {
      const channel = new MessageChannel()
      this.#batonPort = channel.port1
      handOver = channel.port2
      transfer.push(handOver)
    }
    const whole: ShardTask =
      { ...task, port: port2, ...(handOver !== undefined && { handOver }) }
    this.ended = pool.run(whole, transfer, this.#terminate.signal)
      .then(({ queued }) => ({ queued, reason: 'its task ended early', hasFailed: false }),
        (cause: unknown) => ({ queued: 0, reason: this.#reasonOf(cause), hasFailed: true }))
      .then((end) => {
        // Its last reports may arrive later than its end, since they use another port.
        for (let left = receiveMessageOnPort(port1); left !== undefined;
          left = receiveMessageOnPort(port1)) this.#onReport(left.message as ShardReport, options)
        port1.close()
        this.#batonPort?.close()
        this.end = { ...end, reason: this.#broken ?? end.reason }
        over(this, this.end)
        this.#isReady.resolve(undefined)
        this.#isLoaded.resolve(undefined)
        this.#hasHandedOver.resolve()
      })
  }

  tell(control: ShardControl): void {
    this.#port.postMessage(control)
  }

  /** Asks it to hand its shard over to `successor`, which is waiting. */
  handOverTo(successor: ShardRun): void {
    const port = successor.#batonPort
    if (port === undefined) return
    this.successor = successor
    const control: ShardControl = { kind: 'handOver', port }
    this.#port.postMessage(control, [port])
  }

  /** Terminates its thread, whatever it is doing. @param reason for the log. */
  terminate(reason: string): void {
    this.#terminate.abort(reason)
  }

  #onReport(report: ShardReport, { hear }: RunOptions): void {
    if (report.kind === 'broken') this.#broken = report.error
    if (report.kind === 'ready') this.isReady = true
    if (report.kind === 'loaded') this.isLoaded = true
    hear(this, report)
    if (report.kind === 'ready') this.#isReady.resolve({ recovered: report.recovered })
    if (report.kind === 'loaded') this.#isLoaded.resolve(report.mark)
    if (report.kind === 'handedOver') this.#hasHandedOver.resolve()
  }

  #reasonOf(cause: unknown): string {
    const { signal } = this.#terminate
    if (signal.aborted) return String(signal.reason)
    return cause instanceof Error ? cause.stack ?? cause.message : String(cause)
  }
}
