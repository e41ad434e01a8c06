// The upstream of the victim, in a thread of its own, so that an attacker's work beside it is not
// taken for a delay of Sluice. It asks for PER_SECOND and notes when each request arrives.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parentPort } from 'node:worker_threads'

/** What the victim is due. */
export const PER_SECOND = 50

/** What is asked of this thread. */
export interface WindowRequest {
  readonly windowMs: number
  /** Cuts the connection after each answer, so that the next send needs another. */
  readonly closes: boolean
}

/** What came within a window. */
export interface WindowReport {
  readonly sends: number
  readonly longestGapMs: number
}

/** What this thread says. */
export type VictimWord =
  { readonly port: number } | WindowReport

const port = parentPort
if (port !== null) {
  let closes = false
  let times: number[] = []
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const path = request.url ?? ''
    if (path === '/victim') times.push(performance.now())
    request.resume()
    response.setHeader('X-Aqueduct-Rps', String(PER_SECOND))
    if (closes) response.setHeader('Connection', 'close')
    response.end('ok')
  })
  port.on('message', ({ closes: isToClose, windowMs }: WindowRequest) => {
    closes = isToClose
    times = []
    const fromMs = performance.now()
    setTimeout(() => {
      const marks = [fromMs, ...times, performance.now()]
      const gaps = marks.slice(1).map((at, index) => at - (marks[index] as number))
      port.postMessage({
        sends: times.length, longestGapMs: Math.round(Math.max(...gaps)),
      } satisfies VictimWord)
    }, windowMs)
  })
  server.listen(0, '127.0.0.1', () =>
    port.postMessage({ port: (server.address() as AddressInfo).port } satisfies VictimWord))
}
