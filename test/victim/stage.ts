// A server of little memory, a victim that is due PER_SECOND sends a second and has submitted
// ahead, and what attackers need: batches, sockets, upstreams that misbehave, a name server.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Worker } from 'node:worker_threads'
import { type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { SocketClient } from '../support/socket-client.ts'
import { PER_SECOND, type VictimWord, type WindowReport, type WindowRequest }
  from './victim-side.ts'

/** What an attacker's requests look like before it says otherwise. */
export const ATTACKER = 'mallory'
/** A host that the name server knows; the victim's port is behind it. */
export const KNOWN_HOST = 'known.test'
const BATCH_JOBS = 2000
const NS_PER_MS = 1e6
/** As scripts/start sets them on a machine of few cores. */
const NODE_FLAGS = ['--v8-pool-size=1', '--no-memory-reducer']

/** An entry of a batch's answer. */
export interface BatchLine {
  readonly job_id?: string
  readonly status?: string
  readonly code?: string
  readonly limit_reason?: string
}

/** A pool as /health shows it. */
export interface HealthPool {
  readonly pool: string
  readonly used: number
  readonly peak: number
  readonly bound: number
  readonly refused: { readonly bound: number, readonly share: number }
}

/** What /health says, as far as attackers look. */
export interface Health {
  readonly pools: readonly HealthPool[]
  readonly shards: readonly {
    readonly in_flight: number, readonly lanes: number, readonly webhooks_waiting: number
    readonly webhooks_in_flight: number
    readonly queued: number, readonly finished: number
  }[]
}

/** A window, and how much of it the thread that waited longest for a processor spent so, 0 to 1. */
export interface StageWindow extends WindowReport {
  readonly starved: number
}

/** How a stage is set. */
export interface StageOptions {
  readonly flags?: readonly string[]
  /** The victim's upstream is named, and closes its connections. */
  readonly byName?: boolean
}

/** One stage. */
export class Stage {
  readonly server: TestServer
  readonly dns: DnsServer
  readonly #worker: Worker
  readonly #byName: boolean
  readonly #endings: (() => unknown)[]
  #port = 0
  #key = 0
  /** Set when the attack is over. */
  isOver = false

  private constructor(
    server: TestServer, dns: DnsServer, worker: Worker, byName: boolean,
    endings: (() => unknown)[],
  ) {
    this.server = server
    this.dns = dns
    this.#worker = worker
    this.#byName = byName
    this.#endings = endings
  }

  static async open({ byName = false, flags = [] }: StageOptions): Promise<Stage> {
    const endings: (() => unknown)[] = []
    const dns = await startDnsServer({ after: (end) => { endings.push(end) } })
    dns.says.set(KNOWN_HOST, { addresses: ['127.0.0.1'], ttlS: 1 })
    const worker = new Worker(new URL('./victim-side.ts', import.meta.url))
    endings.push(() => worker.terminate())
    const [word] = await once(worker, 'message') as [VictimWord]
    assert.ok('port' in word)
    const server = await startServer({
      flags: ['--shards', '1', '--memory', '64MiB', '--dns-servers', dns.address, ...flags],
      nodeFlags: NODE_FLAGS,
    })
    endings.push(() => server.kill())
    const stage = new Stage(server, dns, worker, byName, endings)
    stage.#port = word.port
    return stage
  }

  /** Ends everything, in the opposite order. */
  async close(): Promise<void> {
    this.isOver = true
    for (const end of this.#endings.toReversed()) await end()
  }

  onClose(end: () => unknown): void {
    this.#endings.push(end)
  }

  // --- the victim ---

  /** Submits what the victim sends in so many seconds, and waits until its pace is known. */
  async submitAhead(seconds: number): Promise<void> {
    const host = this.#byName ? KNOWN_HOST : '127.0.0.1'
    await this.batch(PER_SECOND * seconds, () =>
      ({ user_id: 'victim', url: `http://${host}:${this.#port}/victim` }))
    while ((await this.window(500)).sends < 500 / 1000 * PER_SECOND / 2);
  }

  /** What the victim's upstream receives within so long. */
  async window(windowMs: number): Promise<StageWindow> {
    const before = waitsOf(this.server.pid)
    this.#worker.postMessage({ windowMs, closes: this.#byName } satisfies WindowRequest)
    const report = await this.#heard((word) => 'sends' in word) as WindowReport
    const waits = [...waitsOf(this.server.pid)].map(([id, ns]) => ns - (before.get(id) ?? ns))
    return { ...report, starved: Math.max(0, ...waits) / NS_PER_MS / windowMs }
  }

  /**
   * Somebody who comes new, with an upstream of his own: a socket, a job that it follows, and the
   * job as a stream. Rejects when any of it is refused.
   */
  async newcomer(): Promise<void> {
    const name = `newcomer-${this.#key++}`
    this.dns.says.set(`${name}.test`, { addresses: ['127.0.0.1'] })
    const socket = await SocketClient.open(this.server.url)
    this.onClose(() => socket.ws.terminate())
    const jobId = await socket.accept({
      ref: 1, watch: true, user_id: 'newcomer', idempotent_key: name, method: 'GET',
      delivery: 'poll', url: `http://${name}.test:${this.#port}/`,
    })
    assert.match(await this.stream(jobId), /event: completed/)
    await socket.take('completed')
  }

  // --- what attackers do ---

  /** Submits so many jobs in batches. */
  async batch(
    count: number, jobOf: (index: number) => object, onLine: (line: BatchLine) => void = () => {},
  ): Promise<void> {
    for (let from = 0; from < count && !this.isOver; from += BATCH_JOBS) {
      const jobs = Array.from({ length: Math.min(BATCH_JOBS, count - from) }, (_, at) =>
        JSON.stringify({
          user_id: ATTACKER, idempotent_key: `k${this.#key++}`, method: 'GET', delivery: 'poll',
          ...jobOf(from + at),
        }))
      const answer = await fetch(`${this.server.url}/jobs/batch`, {
        method: 'POST', body: jobs.join('\n'),
        headers: { 'content-type': 'application/x-ndjson' },
      })
      const lines = (await answer.text()).trim().split('\n')
      for (const line of lines) onLine(JSON.parse(line) as BatchLine)
    }
  }

  /** All events of a job, which must end. */
  async stream(jobId: string): Promise<string> {
    const answer = await fetch(`${this.server.url}/jobs/${jobId}/stream`)
    assert.equal(answer.status, 200)
    return answer.text()
  }

  /** A socket of an attacker. */
  async socket(): Promise<SocketClient> {
    const socket = await SocketClient.open(this.server.url)
    this.onClose(() => socket.ws.terminate())
    return socket
  }

  /** An HTTP server of an attacker; its port. */
  async upstream(respond: RequestListener, host = '127.0.0.1'): Promise<number> {
    const server = createServer({ keepAliveTimeout: 60_000 }, respond)
    server.listen(0, host)
    await once(server, 'listening')
    this.onClose(() => {
      server.closeAllConnections()
      server.close()
    })
    return (server.address() as AddressInfo).port
  }

  async health(): Promise<Health> {
    return await (await fetch(`${this.server.url}/health`)).json() as Health
  }

  /** A pool of the front door. */
  async pool(name: string): Promise<HealthPool> {
    const found = (await this.health()).pools.find(({ pool }) => pool === name)
    assert.ok(found !== undefined, `no pool ${name}`)
    return found
  }

  async #heard(fits: (word: VictimWord) => boolean): Promise<VictimWord> {
    for (;;) {
      const [word] = await once(this.#worker, 'message') as [VictimWord]
      if (fits(word)) return word
    }
  }
}

/** How long each thread of a process has been ready to run and had no processor, in ns. */
function waitsOf(pid: number): Map<string, number> {
  if (process.platform !== 'linux') return new Map()
  const folder = `/proc/${pid}/task`
  return new Map(readdirSync(folder).map((id) =>
    [id, Number(readFileSync(`${folder}/${id}/schedstat`, 'utf8').split(' ')[1])]))
}
