// One request that is proxied to the peer, and the peer's answer on its way back. The client's
// connection is closed after the answer, so that its next connection goes to the peer.

import { type ClientRequest, type IncomingMessage, request as open } from 'node:http'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { ANSWER_BYTES_UNCOUNTED_MAX } from '../base/client-limits.ts'
import { PROXY_AGAIN_MS } from '../base/limits.ts'
import { type Listener, type ListenerKind, ofKind } from '../config/listeners.ts'
import type { StreamedResponse } from '../http/uws.ts'

/** Not forwarded. The library answers Expect itself before the request reaches a handler. */
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer',
  'transfer-encoding', 'upgrade', 'expect'])

// What the library lets through and Node's client throws at. Bytes that are no UTF-8 come as
// U+FFFD.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/g
const NOT_IN_PATH = /[^\x21-\x7e]/gu

/** A request to be proxied. */
export interface Forwarded {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly headers: Iterable<readonly [name: string, value: string]>
}

/** Where the peer can be reached. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** The address at which a listener of a server can be reached from this machine. */
export function localAddress(listeners: readonly Listener[], kind: ListenerKind): Address {
  const { host, port } = ofKind(listeners, kind) ?? { host: '', port: 0 }
  return {
    host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' || host === '' ? '::1' : host, port,
  }
}

/** Retries after PROXY_AGAIN_MS; collects all callbacks, since a clock has one wake-up. */
export class Again {
  readonly #clock: Clock
  #due: (() => void)[] = []

  /** @param clock its own, since a clock has one wake-up. */
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

/** Starts a request to the peer, on a connection of its own. */
export function begin(
  { host, port }: Address, { headers, method, target }: Forwarded,
  on: { answered: (answer: IncomingMessage) => void, failed: () => void },
): ClientRequest {
  const kept = new Map<string, string[]>()
  for (const [name, value] of headers) {
    if (HOP_BY_HOP.has(name) || !TOKEN.test(name)) continue
    kept.set(name, [...kept.get(name) ?? [], value.replaceAll(NOT_IN_VALUE, '?')])
  }
  const request = open({
    host, port, method: TOKEN.test(method) ? method.toUpperCase() : 'OPTIONS',
    path: target.replaceAll(NOT_IN_PATH, (odd) => encodeURIComponent(odd.toWellFormed())),
    agent: false,
    headers: Object.fromEntries([...kept].map(([name, values]) =>
      [name, values.length === 1 ? values[0] : values])),
  })
  let isAnswered = false
  request.on('response', (answer) => {
    isAnswered = true
    on.answered(answer)
  })
  request.on('error', () => {
    if (!isAnswered) on.failed()
  })
  return request
}

/**
 * Copies the peer's answer to the client as it arrives, and closes the client's connection after
 * it. @returns a function that ends the answer early, cleanly if possible.
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
  // A long answer is streamed, no faster than the client reads it.
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
  // The peer's answer was cut off, so the client's is too.
  answer.on('error', () => end(() => response.close()))
  return () => {
    answer.destroy()
    end(() => isCollected ? response.close() : response.end(undefined, true))
  }
}
