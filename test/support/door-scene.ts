// A front door with fake shards, for tests that control both sides of it.

import assert from 'node:assert/strict'
import { type Clock, SystemClock } from '../../shards/base/clock.ts'
import { KIB, MIB, type PerSecond } from '../../shards/base/units.ts'
import {
  allocateShard, allocateShared, attachShard, attachShared,
} from '../../shards/memory/layout.ts'
import { planMemory } from '../../shards/memory/plan.ts'
import { RingReader } from '../../shards/memory/ring.ts'
import {
  INGRESS_ENQUEUE, type JobSnapshot, WORD_ID_HIGH, WORD_ID_LOW, WORD_REQUEST, WORD_ROUTE,
} from '../../shards/wire/contract.ts'
import { formatJobId } from '../../shards/wire/job-id.ts'
import { SECRET_BYTES } from '../../src/base/hash.ts'
import { type Listener, type ListenerKind, ofKind } from '../../src/config/listeners.ts'
import { FrontDoor } from '../../src/door/front-door.ts'
import { openShardLink, type ShardLink } from '../../src/engine/shard-link.ts'
import { type FakeRequest, FakeShard } from './fake-shard.ts'

export const BODY_BYTES_MAX = 64 * KIB
export const SHARDS = 2
/** The origin whose account queues callers may switch on. */
export const ACCOUNT_QUEUES_ORIGIN = 'http://queues.example'

/** Both listeners, on free ports. */
export const LOCAL_LISTENERS: readonly Listener[] = [
  { kind: 'callers', host: '127.0.0.1', port: 0 },
  { kind: 'operators', host: '127.0.0.1', port: 0 },
]

/** A front door, its fake shards, and the requests that they received. */
export interface Scene {
  /** Of the callers' listener. */
  url: string
  port: number
  /** Of the operators' listener. */
  operatorsUrl: string
  door: FrontDoor
  links: ShardLink[]
  shards: FakeShard[]
  /** All requests to the shards, in order. */
  requests: FakeRequest[]
  warnings: object[]
  /** Called for each request; by default, accepts every job. */
  answer: (shard: FakeShard, request: FakeRequest) => void
  /** Resolves when the shards have received so many requests. */
  asked: (count: number) => Promise<void>
  /** Resolves when so many requests in total are in the rings of stopped shards. */
  lying: (count: number) => Promise<void>
}

/** A listening front door in front of fake shards, closed when the test ends. */
export async function openScene(
  t: { after(run: () => void): void }, port = 0,
  clock: Clock = new SystemClock(),
): Promise<Scene> {
  const plan = planMemory({
    memoryBytes: 32 * MIB, shards: SHARDS, bodyBytesMax: BODY_BYTES_MAX, responseBytesMax: KIB,
  })
  assert.ok(plan.ok)
  const { limits } = plan
  const shared = attachShared(allocateShared(limits), limits)
  const views = Array.from({ length: SHARDS }, () => attachShard(allocateShard(limits), limits))
  const links = views.map((shard, at) => openShardLink(at, shard))
  const warnings: object[] = []
  const door = new FrontDoor({
    config: {
      listeners: LOCAL_LISTENERS.map((each) => each.kind === 'callers' ? { ...each, port } : each),
      trustedProxies: ['127.0.0.1'], bodyBytesMax: BODY_BYTES_MAX,
      batchJobsMax: 2000, socketIdleMs: 60_000,
      clientBytesMax: 64 * MIB, clientConnectionsMax: 10_000, version: '1.2.3',
      access: { isOpenToAll: false, allowedHosts: [] },
      settingsOf: () => ({
        pacePerSecond: 2 as PerSecond, concurrentMax: 5, accountQueues: false, timeoutMs: 1000,
      }),
      mayAskAccountQueue: (origin) => origin === ACCOUNT_QUEUES_ORIGIN,
      isListed: () => true,
    },
    links, shared, clock,
    log: { info: () => {}, warn: (fields) => { warnings.push(fields) }, error: () => {} },
    secret: new Uint8Array(SECRET_BYTES).fill(3),
  })
  const shards = views.map((shard) => new FakeShard(shard, shared))
  t.after(() => {
    door.close()
    for (const shard of shards) shard.stop()
  })
  const places = await door.listen()
  const portOf = (kind: ListenerKind): number => ofKind(places, kind)?.port ?? 0
  const waits: { count: number, resolve: () => void }[] = []
  const scene: Scene = {
    url: `http://127.0.0.1:${portOf('callers')}`, port: portOf('callers'),
    operatorsUrl: `http://127.0.0.1:${portOf('operators')}`,
    door, links, shards, warnings, requests: [],
    answer: (shard, { kind, words }) => {
      if (kind === INGRESS_ENQUEUE) shard.accept(words[WORD_REQUEST] as number)
    },
    asked: (count) => new Promise((resolve) => {
      waits.push({ count, resolve })
      wake()
    }),
    lying: async (count) => {
      while (links.reduce((sum, link) => sum + recordsIn(link), 0) < count) {
        await new Promise((resolve) => { setImmediate(resolve) })
      }
    },
  }
  const wake = (): void => {
    for (const { count, resolve } of waits) if (scene.requests.length >= count) resolve()
  }
  for (const shard of shards) {
    shard.onRequest = (request) => {
      scene.requests.push(request)
      scene.answer(shard, request)
      wake()
    }
  }
  return scene
}

/** Counts the records that were not taken yet, without consuming them. */
function recordsIn({ views }: ShardLink): number {
  const { bytes, control, u32 } = views.ingress
  const copy = {
    bytes, u32, f64: views.ingress.f64, control: Int32Array.from(control),
  }
  return new RingReader(copy).read(() => true, Infinity)
}

/** A valid job. */
export const JOB = {
  user_id: 'ann', idempotent_key: 'k1', url: 'http://api.example/v1', method: 'POST',
  headers: { Authorization: 'Bearer t' }, body: 'hi', webhook_url: 'http://hook.example/done',
}

/** An HTTP answer, decoded. */
export interface Answer { status: number, body: Record<string, unknown>, headers: Headers }

/** One request with a JSON answer. */
export async function call(scene: Scene, method: string, path: string, init: RequestInit = {}):
  Promise<Answer> {
  const response = await fetch(scene.url + path, { method, ...init })
  const text = await response.text()
  const body = text === '' ? {} : JSON.parse(text) as Record<string, unknown>
  return { status: response.status, body, headers: response.headers }
}

/** Submits JOB with changes. */
export const post = (scene: Scene, changes: object = {}, headers: Record<string, string> = {}):
  Promise<Answer> => call(scene, 'POST', '/jobs', {
    body: JSON.stringify({ ...JOB, ...changes }),
    headers: { 'content-type': 'application/json', ...headers },
  })

/** The words at these places. */
export const wordsOf = ({ words }: FakeRequest, ...at: number[]): number[] =>
  at.map((word) => words[word] as number)

/** The three words of the id in a request. */
export const idOf = (request: FakeRequest): number[] =>
  wordsOf(request, WORD_ROUTE, WORD_ID_HIGH, WORD_ID_LOW)

/** The same id as text. */
export function idText(request: FakeRequest): string {
  const [route = 0, high = 0, low = 0] = idOf(request)
  return formatJobId(route, high, low)
}

/** A queued job. */
export const VIEW: JobSnapshot = {
  status: 'queued', url: 'http://api.example/v1', method: 'POST', created_at: 5, attempts: 0,
  position: 3,
}
/** An id that belongs to the second of two shards. */
export const ID = '80000000aaaaaaaabbbbbbbb'
export const ID_WORDS = [0x80000000, 0xaaaaaaaa, 0xbbbbbbbb]
