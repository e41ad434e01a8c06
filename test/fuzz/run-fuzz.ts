// Damaged frames and batches against a whole front door, with shards that answer at random. Nothing
// may crash, hang or leak: every frame is answered, every batch ends, and at the end nothing is
// left of any of it.

import assert from 'node:assert/strict'
import v8 from 'node:v8'
import { runInNewContext } from 'node:vm'
import { unpack } from 'msgpackr'
import { Pool } from 'undici'
import { WebSocket } from 'ws'
import { Prng } from '../../shards/base/prng.ts'
import {
  CODE_NOT_CANCELLABLE, CODE_NOT_FOUND, CODE_OK, EVENT_COMPLETED, INGRESS_CANCEL, INGRESS_ENQUEUE,
  INGRESS_GET, INGRESS_RELEASE_UPSTREAM, INGRESS_WATCH, REFUSED_JOBS, WORD_REQUEST,
} from '../../shards/wire/contract.ts'
import { call, idOf, openScene, type Scene, VIEW } from '../support/door-scene.ts'
import type { FakeRequest, FakeShard } from '../support/fake-shard.ts'
import { PROTOCOL, socketUrl } from '../support/socket-client.ts'
import { batchInput, frameInput } from './mutate.ts'

/** How much is tried. */
export interface FuzzPlan {
  readonly frames: number
  readonly batches: number
  readonly seed: number
  readonly onProgress?: (done: number) => void
}

/** What came of it. */
export interface FuzzResult {
  readonly accepted: number
  readonly refused: number
  readonly errors: number
  /** The heap's growth between the first tenth and the end, in bytes. */
  readonly heapGrowth: number
}

const SOCKETS = 4
const FRAMES_PER_PING = 64
const BATCHES_AT_ONCE = 4
const PROGRESS_EVERY = 10_000
const KNOWN = new Set(['hello', 'accepted', 'error', 'watched', 'unwatched', 'cancelled', 'pong',
  'position', 'dispatching', 'retrying', 'completed', 'failed', 'warning'])

/** Runs a plan. */
export async function runFuzz(t: { after(run: () => void): void }, plan: FuzzPlan):
  Promise<FuzzResult> {
  return new Fuzz(await openScene(t), plan).run()
}

class Fuzz {
  readonly #scene: Scene
  readonly #plan: FuzzPlan
  #accepted = 0
  #refused = 0
  #errors = 0
  #done = 0

  constructor(scene: Scene, plan: FuzzPlan) {
    this.#scene = scene
    this.#plan = plan
    const prng = new Prng(plan.seed)
    for (const shard of scene.shards) {
      shard.onRequest = (request) => answerAtRandom(prng, shard, request)
    }
  }

  async run(): Promise<FuzzResult> {
    await this.#part(0.1, 1)
    const before = heapBytes()
    await this.#part(0.9, 2)
    const { body } = await call(this.#scene, 'GET', '/health')
    const { pending, sockets, watched } = body['admission'] as Record<string, number>
    assert.deepEqual({ pending, sockets, watched }, { pending: 0, sockets: 0, watched: 0 })
    return {
      accepted: this.#accepted, refused: this.#refused, errors: this.#errors,
      heapGrowth: heapBytes() - before,
    }
  }

  async #part(share: number, number: number): Promise<void> {
    const { batches, frames, seed } = this.#plan
    const each = Math.ceil((frames * share) / SOCKETS)
    await Promise.all([
      ...Array.from({ length: SOCKETS }, (_, at) =>
        this.#socket(new Prng(seed + 1000 * number + at), each)),
      this.#batches(new Prng(seed + 1000 * number + 999), Math.ceil(batches * share)),
    ])
  }

  /** Sends frames over a socket, or over the next one when the server has closed it. */
  async #socket(prng: Prng, frames: number): Promise<void> {
    let left = frames
    while (left > 0) {
      const ws = new WebSocket(socketUrl(this.#scene.url), [PROTOCOL])
      let pong = Promise.withResolvers<void>()
      ws.on('error', () => {})
      ws.on('message', (data: Buffer, isBinary) => {
        const message = (isBinary ? unpack(data) : JSON.parse(data.toString())) as Message
        if (message.type === 'pong' && message['ref'] === 'mark') pong.resolve()
        this.#check(message)
      })
      const closed = new Promise<void>((resolve) => { ws.on('close', () => resolve()) })
      await new Promise((resolve) => { ws.on('open', resolve) })
      while (left > 0 && ws.readyState === WebSocket.OPEN) {
        for (let frame = 0; frame < FRAMES_PER_PING && left > 0; frame++, left--) {
          const { bytes, isBinary } = frameInput(prng)
          ws.send(bytes, { binary: isBinary })
          this.#count()
        }
        pong = Promise.withResolvers()
        ws.send('{"type":"ping","ref":"mark"}')
        await Promise.race([pong.promise, closed])
      }
      ws.close()
      await closed
    }
  }

  #check(message: Message): void {
    assert.ok(KNOWN.has(message.type), JSON.stringify(message))
    if (message.type === 'error') this.#errors++
    if (message.type !== 'accepted') return
    for (const { code, job_id: jobId } of message['jobs'] as Record<string, unknown>[]) {
      assert.notEqual(code === undefined, jobId === undefined)
      if (code === undefined) this.#accepted++
      else this.#refused++
    }
  }

  async #batches(prng: Prng, count: number): Promise<void> {
    const pool = new Pool(this.#scene.url, { connections: BATCHES_AT_ONCE })
    const sendInTurn = async (share: number): Promise<void> => {
      for (let left = share; left > 0; left--) {
        const { body, statusCode } = await pool.request({
          method: 'POST', path: '/jobs/batch', body: batchInput(prng),
          headers: { 'content-type': 'application/x-ndjson' },
        })
        assert.equal(statusCode, 200)
        for (const line of (await body.text()).split('\n')) {
          if (line === '') continue
          const { code, job_id: jobId } = JSON.parse(line) as Record<string, unknown>
          assert.notEqual(code === undefined, jobId === undefined, line)
        }
        this.#count()
      }
    }
    await Promise.all(Array.from({ length: BATCHES_AT_ONCE },
      () => sendInTurn(Math.ceil(count / BATCHES_AT_ONCE))))
    await pool.close()
  }

  #count(): void {
    if (++this.#done % PROGRESS_EVERY === 0) this.#plan.onProgress?.(this.#done)
  }
}

type Message = Readonly<Record<string, unknown>> & { readonly type: string }

/** Mostly yes; sometimes anything else that a shard may say. */
function answerAtRandom(prng: Prng, shard: FakeShard, request: FakeRequest): void {
  const number = request.words[WORD_REQUEST] as number
  const dice = prng.below(10)
  switch (request.kind) {
    case INGRESS_ENQUEUE:
      if (dice === 0) return shard.duplicate(number, idOf(request), 4, { status: 'completed' })
      if (dice === 1) return shard.duplicate(number, idOf(request), 1, null)
      if (dice === 2) return shard.refuse(number, REFUSED_JOBS, 10, 10)
      shard.accept(number)
      // A shard says nothing about jobs that nobody watches; here it is not so discreet.
      return shard.event(idOf(request), EVENT_COMPLETED, { status: 'completed' })
    case INGRESS_GET: case INGRESS_CANCEL: case INGRESS_WATCH:
      if (dice < 3) return shard.job(number, CODE_NOT_FOUND, null)
      if (dice < 5 && request.kind === INGRESS_CANCEL) {
        return shard.job(number, CODE_NOT_CANCELLABLE, { ...VIEW, status: 'in_flight' })
      }
      shard.job(number, CODE_OK, VIEW)
      return shard.event(idOf(request), EVENT_COMPLETED, { status: 'completed' })
    case INGRESS_RELEASE_UPSTREAM:
      return shard.released(number, true)
    default:
  }
}

function heapBytes(): number {
  v8.setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}
