// One request of a client that is proxied to another process, and that process's answer on its
// way back. The client's connection ends with the answer, so that its next one goes to the other.

import { type ClientRequest, type IncomingMessage, request as open } from 'node:http'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { ANSWER_BYTES_UNCOUNTED_MAX } from '../base/client-limits.ts'
import { PROXY_AGAIN_MS } from '../base/limits.ts'
import type { Address } from '../http/server.ts'
import type { StreamedResponse } from '../http/uws.ts'

/** Of one connection only. Expect is answered by the library before anybody sees the request. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer',
  'transfer-encoding', 'upgrade', 'expect'])

/** What is proxied. */
export interface Forwarded {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: ReadonlyMap<string, string>
}

/** Where a server that listens at an address can be spoken to from this machine. */
export const localAddress = ({ host, port }: Address): Address => ({
  host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' || host === '' ? '::1' : host, port,
})

/** Does things once more after a while, however many: a clock has one wake only. */
export class Again {
  readonly #clock: Clock
  #due: (() => void)[] = []

  /** @param clock its own: nobody else may set its wake. */
  constructor(clock: Clock) {
    this.#clock = clock
  }

  later(again: () => void): void {
    this.#due.push(again)
    if (this.#due.length > 1) return
    this.#clock.wakeAt((this.#clock.nowUs() + msToUs(PROXY_AGAIN_MS)) as Micros, () => {
      const due = this.#due
      this.#due = []
      for (const each of due) each()
    })
  }
}

/** Begins a request to the other process, on a connection of its own. */
export function begin(
  { host, port }: Address, { headers, method, target }: Forwarded,
  told: { answered: (answer: IncomingMessage) => void, failed: () => void },
): ClientRequest {
  const kept = [...headers].filter(([name]) => !HOP_BY_HOP.has(name))
  const request = open({
    host, port, method: method.toUpperCase(), path: target, headers: Object.fromEntries(kept),
    agent: false,
  })
  let isAnswered = false
  request.on('response', (answer) => {
    isAnswered = true
    told.answered(answer)
  })
  request.on('error', () => {
    if (!isAnswered) told.failed()
  })
  return request
}

/**
 * Writes the other's answer to the client as it comes, and ends the client's connection with it.
 * @returns cuts it short, in peace.
 */
export function writeBack(
  answer: IncomingMessage, response: StreamedResponse, method: string, over: () => void,
): () => void {
  let isOpen = true
  const end = (write: () => void): void => {
    if (!isOpen) return
    isOpen = false
    over()
    response.cork(write)
  }
  response.onAborted(() => {
    isOpen = false
    over()
    answer.destroy()
  })
  const isHead = method === 'head'
  const length = answer.headers['content-length']
  const parts: Buffer[] = []
  // A long one goes on as it comes, no faster than the client reads it.
  const isCollected = isHead || Number(length ?? Infinity) <= ANSWER_BYTES_UNCOUNTED_MAX
  const writeHead = (): void => {
    response.writeStatus(`${answer.statusCode} ${answer.statusMessage}`)
    for (const [name, value] of Object.entries(answer.headers)) {
      if (HOP_BY_HOP.has(name) || name === 'content-length' || value === undefined) continue
      for (const each of [value].flat()) response.writeHeader(name, each)
    }
  }
  if (!isCollected) {
    response.cork(() => {
      writeHead()
      response.writeHeader('connection', 'close')
    })
    response.onWritable(() => {
      answer.resume()
      return true
    })
  }
  answer.on('data', (chunk: Buffer) => {
    if (isCollected) return void parts.push(chunk)
    if (!isOpen) return undefined
    response.cork(() => {
      if (!response.write(chunk)) answer.pause()
    })
    return undefined
  })
  answer.on('end', () => end(() => {
    if (!isCollected) return void response.end(undefined, true)
    writeHead()
    if (isHead) {
      response.writeHeader('connection', 'close')
      if (length !== undefined) response.writeHeader('content-length', length)
      response.endWithoutBody()
    } else response.end(Buffer.concat(parts), true)
  }))
  // It broke off in the midst; so does this.
  answer.on('error', () => end(() => response.close()))
  return () => {
    answer.destroy()
    end(() => isCollected ? response.close() : response.end(undefined, true))
  }
}
