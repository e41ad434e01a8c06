// A program that sends requests in rounds and prints the heap growth of each.

import assert from 'node:assert/strict'
import { Worker } from 'node:worker_threads'
import { SystemClock } from '../../shards/base/clock.ts'
import { LINE_FREE, type TransportEvents } from '../../shards/transport/transport.ts'
import { UndiciTransport } from '../../shards/transport/undici-transport.ts'
import { tellGrowths } from './heap-rounds.ts'
import { outgoing } from './transport-recorder.ts'

/** So that all code is compiled and the young generation has its final size. */
const WARM_UP_REQUESTS = 40_000
/** Per round. */
const REQUESTS = 4000
const AT_ONCE = 16
/** On a thread of its own, whose allocations are not counted. */
const UPSTREAM = `
  const { createServer } = require('node:net')
  const { parentPort } = require('node:worker_threads')
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok'))
  })
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port))
`

const DESTINATION = 0
const CONNECT_TIMEOUT_MS = 10_000

/** Sends so many requests, some concurrently; resolves when the last has ended. */
class Sender implements TransportEvents {
  readonly #transport: UndiciTransport
  readonly #origin: string
  /** Free attempt ids. */
  readonly #attemptIds = Array.from({ length: AT_ONCE }, (_, at) => at)
  #left = 0
  #done: () => void = () => {}

  constructor(transport: UndiciTransport, origin: string) {
    this.#transport = transport
    this.#origin = origin
    transport.start(this)
  }

  run(requests: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#done = resolve
    this.#left = requests
    this.#sendAll()
    return promise
  }

  #sendAll(): void {
    while (this.#left > 0 && this.#attemptIds.length > 0) {
      if (this.#transport.lineTo(DESTINATION) !== LINE_FREE) {
        return this.#transport.connect(
          DESTINATION, this.#origin, this.#attemptIds.length, CONNECT_TIMEOUT_MS, 0)
      }
      this.#left -= 1
      const headers = ['Authorization', `Bearer ${this.#left}`]
      this.#transport.send(this.#attemptIds.pop() as number, DESTINATION,
        outgoing(this.#origin, { method: 'POST', headers }))
    }
  }

  free(): void {
    this.#sendAll()
  }

  unreachable(_to: number, reason: string, detail: string): void {
    assert.fail(`${reason}: ${detail}`)
  }

  written(): void {}

  returned(attemptId: number): void {
    this.#left += 1
    this.#ended(attemptId)
  }

  head(): void {}

  end(attemptId: number): void {
    this.#ended(attemptId)
  }

  failed(_token: number, reason: string, detail: string): void {
    assert.fail(`${reason}: ${detail}`)
  }

  #ended(attemptId: number): void {
    this.#attemptIds.push(attemptId)
    this.#sendAll()
    if (this.#left === 0 && this.#attemptIds.length === AT_ONCE) this.#done()
  }
}

const upstream = new Worker(UPSTREAM, { eval: true })
const port = await new Promise<number>((resolve) => { upstream.once('message', resolve) })
const transport = new UndiciTransport({
  clock: new SystemClock(), connectionsMax: 1000,
  connectionsPerOriginMax: AT_ONCE, responseBytesMax: 1024, extraCaPem: '',
  connectTimeoutMs: 60_000,
})
const sender = new Sender(transport, `http://127.0.0.1:${port}`)
await sender.run(WARM_UP_REQUESTS)
await tellGrowths(() => sender.run(REQUESTS))
await transport.close()
await upstream.terminate()
