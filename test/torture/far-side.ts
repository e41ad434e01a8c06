// The upstreams and the receiver of webhooks of a run: servers of the torture's own process, which
// outlives every server under test, so that their notes are whole.

import { once } from 'node:events'
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { monotonicUs } from '../../shards/base/clock.ts'
import type { Micros } from '../../shards/base/units.ts'
import { CONCURRENT, PACES, TARGETS, type Target } from './jobs.ts'
import type { Ledger } from './ledger.ts'

const KEEP_ALIVE_MS = 60_000
/** The pace at which everything that still waits is fetched at the end. */
const RELEASED_RPS = '5000'

/** Upstreams by name, and a receiver. */
export class FarSide {
  readonly origins: Readonly<Record<Target, string>>
  readonly receiver: string
  /** When the upstreams left their paces for the highest; Infinity while they have not. */
  releasedUs = Infinity
  readonly #ledger: Ledger
  readonly #servers: readonly Server[]
  readonly #sockets = new Set<Socket>()
  #onAllClosed: () => void = () => {}

  private constructor(ledger: Ledger, servers: readonly Server[]) {
    this.#ledger = ledger
    this.#servers = servers
    const [receiver, ...upstreams] = servers.map(originOf)
    this.receiver = receiver as string
    this.origins = Object.fromEntries(TARGETS.map((target, at) => [target, upstreams[at]])) as
      Record<Target, string>
    for (const server of servers) server.on('connection', (socket) => this.#watch(socket))
    const [first, ...others] = servers
    first?.on('request', whole((request) => this.#hear(request)))
    for (const [at, server] of others.entries()) {
      const target = TARGETS[at] as Target
      server.on('request', whole((request) => this.#work(target, request)))
    }
  }

  /** Listens on free ports of 127.0.0.1. */
  static async open(ledger: Ledger): Promise<FarSide> {
    const servers = await Promise.all(['receiver', ...TARGETS].map(async () => {
      const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }))
    return new FarSide(ledger, servers)
  }

  /** From the next answer on, nothing has to wait. */
  release(): void {
    this.releasedUs = monotonicUs()
  }

  /** Once whoever has sent here is gone: all that it sent has been read and noted. */
  async allClosed(): Promise<void> {
    if (this.#sockets.size === 0) return
    await new Promise<void>((resolve) => { this.#onAllClosed = resolve })
  }

  close(): void {
    for (const server of this.#servers) {
      server.close()
      server.closeAllConnections()
    }
  }

  #watch(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      if (this.#sockets.size === 0) this.#onAllClosed()
    })
  }

  #work(target: Target, { atUs, body, headers, response }: WholeRequest): void {
    const noted = this.#ledger.noteExecution(body, String(headers['x-sluice-job-id']),
      Number(headers['x-sluice-attempt']), atUs)
    if (noted === undefined) return void response.writeHead(400).end()
    const { job, execution } = noted
    const answer = (): void => {
      response.on('finish', () => { execution.endUs = monotonicUs() })
      response.writeHead(execution.status, this.#headersOf(target)).end(`done ${job.number}`)
    }
    if (job.delayMs === 0 || this.releasedUs < Infinity) answer()
    else setTimeout(answer, job.delayMs)
  }

  #headersOf(target: Target): Record<string, string> {
    return {
      'X-Aqueduct-Rps': this.releasedUs < Infinity ? RELEASED_RPS : String(PACES[target]),
      'X-Aqueduct-Max-Concurrent': String(CONCURRENT[target]),
      'X-Aqueduct-Account-Queue': target === 'apart' ? 'enabled' : 'disabled',
    }
  }

  #hear({ body, response }: WholeRequest): void {
    const told = JSON.parse(body) as { job_id: string, status: string, body?: string }
    const deliveries = this.#ledger.noteTold(told.job_id, told.status)
    const job = this.#ledger.jobs[Number(/^done (\d+)$/.exec(told.body ?? '')?.[1] ?? NaN)]
    response.writeHead(job?.webhookFails === true && deliveries === 1 ? 500 : 204).end()
  }
}

interface WholeRequest {
  /** When its head arrived. */
  readonly atUs: Micros
  readonly body: string
  readonly headers: IncomingMessage['headers']
  readonly response: ServerResponse
}

/** Calls `take` for requests that arrive to their last byte. */
function whole(take: (request: WholeRequest) => void):
  (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const atUs = monotonicUs()
    const chunks: Buffer[] = []
    request.on('error', () => { /* the sender was killed */ })
    response.on('error', () => { /* likewise */ })
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => take({
      atUs, body: Buffer.concat(chunks).toString('utf8'), headers: request.headers, response,
    }))
  }
}

const originOf = (server: Server): string =>
  `http://127.0.0.1:${(server.address() as AddressInfo).port}`
