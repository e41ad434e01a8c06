// Who fills which pool, and how it is seen that it is filled.

import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { type Socket, connect } from 'node:net'
import { KIB } from '../../shards/base/units.ts'
import { POOLS } from '../../src/base/pools.ts'
import type { Stage, StageOptions } from './stage.ts'

/** A pool of POOLS. */
export type PoolName = keyof typeof POOLS

/** Whether the pool is as full as the attacker can make it. */
export type IsAtBound = () => Promise<boolean>

/** One attacker. */
export interface Attack extends StageOptions {
  readonly pool: PoolName
  readonly what: string
  /** Run by the suite; the others by `npm run victim`. */
  readonly isInSuite?: boolean
  /** Why nobody new can be served meanwhile, where that is so. */
  readonly noNewcomer?: string
  readonly begin: (stage: Stage) => Promise<IsAtBound>
}

/** Pools that nobody attacks here, and why. */
export const UNATTACKED: Partial<Record<PoolName, string>> = {
  requests: 'a shard answers within a turn, so that callers on one machine cannot fill it; ' +
    'test/unit/src/base/account-share.test.ts does',
  lanesByUpstream: 'it takes users without number: test/sim/victim.test.ts has them',
  sharedLanes: 'likewise',
  undeliveredResults: 'it takes a receiver that hangs for long: test/sim/victim.test.ts has one',
  finishedJobs: 'it takes all slots of a shard: test/sim/victim.test.ts has few',
  ringSpace: 'a shard empties it in every turn; test/http/front-door.test.ts fills it',
  journalQueue: 'only a disk that cannot be written fills it: ' +
    'test/unit/shards/journal/journal-stall.test.ts',
  keptNames: 'what is given up is asked for again: test/unit/shards/dns/resolver.test.ts',
  descriptors: 'the client connections and the connections of sends are the two ways to them',
}

const nothing = (): void => {}

/** Tells its pace at once; what else it does with a request is the attacker's. */
const quick = (respond: (response: ServerResponse) => void, perSecond = 100_000) =>
  (request: { url?: string | undefined, resume(): unknown }, response: ServerResponse): void => {
    request.resume()
    response.setHeader('X-Aqueduct-Rps', String(perSecond))
    response.setHeader('X-Aqueduct-Max-Concurrent', '1000000')
    if (request.url === '/first') response.end('ok')
    else respond(response)
  }

/** One job that tells Sluice how fast the attacker's upstream would have its jobs. */
async function introduce(stage: Stage, origin: string): Promise<void> {
  let jobId = ''
  await stage.batch(1, () => ({ url: `${origin}/first` }), (line) => { jobId = line.job_id ?? '' })
  assert.match(await stage.stream(jobId), /completed/)
}

const stalledAnswers: Attack = {
  pool: 'responseBytes', what: 'answers of 600 KB that stall', isInSuite: true,
  begin: async (stage) => {
    let stalled = 0
    const port = await stage.upstream(quick((response) => {
      stalled++
      response.write(Buffer.alloc(600 * KIB))
    }))
    const origin = `http://127.0.0.1:${port}`
    await introduce(stage, origin)
    await stage.batch(200, () => ({ url: origin, max_retries: 100 }))
    // The buffer of each has grown to 1 MiB, and an upstream alone may hold 32.
    return async () => stalled >= 30
  },
}

const permits: Attack = {
  pool: 'inFlight', what: 'an upstream that never answers',
  begin: async (stage) => {
    const port = await stage.upstream(quick(nothing))
    const origin = `http://127.0.0.1:${port}`
    await introduce(stage, origin)
    await stage.batch(20_000, () => ({ url: origin, max_retries: 100 }))
    return async () => (await stage.health()).shards.some((shard) => shard.in_flight >= 1000)
  },
}

const deadReceivers: Attack = {
  pool: 'webhooksInFlight', what: '130 receivers that never answer', isInSuite: true,
  begin: async (stage) => {
    const upstream = await stage.upstream(quick((response) => { response.end('ok') }))
    const receiver = await stage.upstream((request) => { request.resume() })
    const origin = `http://127.0.0.1:${upstream}`
    const receivers = Array.from({ length: 130 }, (_, at) => `r${at}.test`)
    for (const name of receivers) stage.dns.says.set(name, { addresses: ['127.0.0.1'] })
    await introduce(stage, origin)
    await stage.batch(130 * 130, (at) => ({
      url: origin, delivery: 'webhook',
      webhook_url: `http://${receivers[at % receivers.length]}:${receiver}/`,
    }))
    return async () =>
      (await stage.health()).shards.some((shard) => shard.webhooks_in_flight >= 5000)
  },
}

const connections: Attack = {
  pool: 'connections', what: '200 upstreams that take connections and never answer',
  flags: ['--default-rps', '1000'],
  begin: async (stage) => {
    // Each has an address of its own, as upstreams do: one address alone runs out of ports.
    const port = await stage.upstream((request) => { request.resume() }, '0.0.0.0')
    const names = Array.from({ length: 200 }, (_, at) => `c${at}.test`)
    for (const [at, name] of names.entries()) {
      stage.dns.says.set(name, { addresses: [`127.0.1.${1 + at}`] })
    }
    await stage.batch(20_000, (at) =>
      ({ url: `http://${names[at % names.length]}:${port}/`, max_retries: 100 }))
    return async () => (await stage.health()).shards.some((shard) => shard.in_flight >= 5000)
  },
}

const upstreams: Attack = {
  pool: 'upstreamSlots', what: 'an upstream for each job', isInSuite: true,
  begin: async (stage) => {
    let refused = 0
    // Nobody listens there.
    const hostOf = (at: number): string => `127.1.${at >> 8}.${at & 255}:9`
    await stage.batch(4000, (at) => ({ url: `http://${hostOf(at)}/`, max_retries: 100 }),
      (line) => { if (line.limit_reason === 'upstreams_share') refused++ })
    return async () => refused > 0
  },
}

const lanes: Attack = {
  pool: 'lanesByUser', what: 'an account for each job',
  begin: async (stage) => {
    const port = await stage.upstream(quick(nothing))
    const origin = `http://127.0.0.1:${port}`
    let last = 0
    await stage.batch(60_000, (at) =>
      ({ url: origin, headers: { Authorization: `Bearer ${at}` }, max_retries: 100 }))
    return async () => {
      const now = (await stage.health()).shards[0]?.lanes ?? 0
      const stands = now === last
      last = now
      return stands && now > 1000
    }
  },
}

const names: Attack = {
  pool: 'lookups', what: 'hosts whose name servers are silent', isInSuite: true, byName: true,
  begin: async (stage) => {
    const count = 1500
    const hostOf = (at: number): string => `www.zone${at}.test`
    for (let at = 0; at < count; at++) stage.dns.says.set(hostOf(at), 'silence')
    await stage.batch(count, (at) => ({ url: `http://${hostOf(at)}/`, max_retries: 100 }))
    return async () => new Set(stage.dns.asked).size >= 256
  },
}

/** Jobs that wait for long; their ids. */
async function waitingJobs(stage: Stage, count: number): Promise<string[]> {
  const port = await stage.upstream((request) => { request.resume() })
  const ids: string[] = []
  await stage.batch(count, () => ({ url: `http://127.0.0.1:${port}/` }), (line) => {
    if (line.job_id !== undefined) ids.push(line.job_id)
  })
  return ids
}

/** What one message may name. */
const PART = 1024
const CANCEL_EVERY_MS = 500

const watches: Attack = {
  pool: 'watchedJobs', what: 'four sockets that watch all that they may', isInSuite: true,
  begin: async (stage) => {
    const ids = await waitingJobs(stage, 48_000)
    const sockets = await Promise.all(Array.from({ length: 4 }, () => stage.socket()))
    for (const { ws } of sockets) ws.removeAllListeners('message')
    for (let at = 0; at < ids.length && !stage.isOver; at += PART) {
      const socket = sockets[Math.floor(at / PART) % sockets.length]
      socket?.send({ type: 'watch', job_ids: ids.slice(at, at + PART) })
      // No more at once than it may ask.
      while ((await stage.pool(POOLS.questions.name)).used > PART);
    }
    return async () => (await stage.pool(POOLS.watchedJobs.name)).refused.share > 0
  },
}

const cancellations: Attack = {
  pool: 'questions', what: 'a storm of cancellations over four sockets', isInSuite: true,
  begin: async (stage) => {
    const ids = await waitingJobs(stage, 16 * PART)
    const sockets = await Promise.all(Array.from({ length: 4 }, () => stage.socket()))
    for (const { ws } of sockets) ws.removeAllListeners('message')
    // More at once than an account may have under way, but not all of a core's time.
    const burst = (): void => {
      for (let part = 0; part < 16; part++) {
        const jobIds = ids.slice(part * PART, (part + 1) * PART)
        sockets[part % sockets.length]?.send({ type: 'cancel', job_ids: jobIds })
      }
    }
    const timer = setInterval(burst, CANCEL_EVERY_MS)
    stage.onClose(() => clearInterval(timer))
    burst()
    return async () => (await stage.pool(POOLS.questions.name)).refused.share > 0
  },
}

const streams: Attack = {
  pool: 'streams', what: 'streams of one job',
  // One account may have 10,922 of STREAMS_MAX, each on a connection that is kept.
  flags: ['--client-connections', '16000'],
  begin: async (stage) => {
    const [id] = await waitingJobs(stage, 10)
    for (let at = 0; at < 11_500; at++) {
      const socket = connect(stage.server.port, '127.0.0.1')
      socket.on('error', nothing).resume()
      socket.write(`GET /jobs/${id}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n`)
      stage.onClose(() => socket.destroy())
      if (at % 100 === 99) await stage.health()
    }
    return async () => (await stage.pool(POOLS.streams.name)).refused.share > 0
  },
}

const sockets: Attack = {
  pool: 'sockets', what: 'all sockets that one address may have',
  noNewcomer: 'on one machine all have the same address',
  begin: async (stage) => {
    for (let opened = 50; opened === 50 && !stage.isOver;) {
      const some = Array.from({ length: 50 }, () => stage.socket())
      const outcomes = await Promise.allSettled(some)
      opened = outcomes.filter(({ status }) => status === 'fulfilled').length
    }
    return async () => (await stage.pool(POOLS.sockets.name)).refused.share > 0
  },
}

/** Whoever is turned away, or has said nothing for too long, comes again after this. */
const CONNECT_AGAIN_MS = 1000

const idleClients: Attack = {
  pool: 'clientConnections', what: 'connections that say nothing',
  flags: ['--client-connections', '500'],
  noNewcomer: 'whoever connects is turned away; those who are connected are served',
  begin: async (stage) => {
    let turnedAway = 0
    const opened = new Set<Socket>()
    stage.onClose(() => { for (const socket of opened) socket.destroy() })
    const open = (): void => {
      if (stage.isOver) return
      const socket = connect(stage.server.port, '127.0.0.1')
      opened.add(socket)
      socket.on('error', nothing).resume().on('close', () => {
        turnedAway++
        opened.delete(socket)
        setTimeout(open, CONNECT_AGAIN_MS)
      })
    }
    for (let at = 0; at < 700; at++) open()
    // Nobody can ask the server: it would turn the question away.
    return async () => turnedAway > 0
  },
}

const slowBodies: Attack = {
  pool: 'clientMemory', what: 'bodies that never end', flags: ['--client-memory', '32MiB'],
  begin: async (stage) => {
    for (let at = 0; at < 80; at++) {
      const socket = connect(stage.server.port, '127.0.0.1')
      socket.on('error', nothing).resume()
      socket.write('POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
        `Content-Length: ${1000 * KIB}\r\n\r\n`)
      socket.write(Buffer.alloc(900 * KIB, 32))
      stage.onClose(() => socket.destroy())
    }
    return async () => {
      const { refused } = await stage.pool(POOLS.clientMemory.name)
      return refused.share + refused.bound > 0
    }
  },
}

const fullMemory: Attack = {
  pool: 'logSpace', what: 'waiting jobs with bodies of 30 KB',
  begin: async (stage) => {
    const port = await stage.upstream((request) => { request.resume() })
    let refused = 0
    await stage.batch(4000, () => ({
      url: `http://127.0.0.1:${port}/`, method: 'POST', body: 'x'.repeat(30 * KIB),
    }), (line) => { if (line.limit_reason === 'memory_share') refused++ })
    return async () => refused > 0
  },
}

/** 50 MB a second: they leave a core to the server beside the upstream, which is the test's own. */
const RESULTS_PER_SECOND = 500
/** They come throughout a window. */
const RESULTS_SECONDS = 20
/** More than twice what may be kept. */
const RESULTS_BEYOND = 1000

const largeResults: Attack = {
  pool: 'keptResults', what: 'results of 100 KB',
  begin: async (stage) => {
    const body = Buffer.alloc(100 * KIB, 'r')
    const port = await stage.upstream(quick((response) => { response.end(body) },
      RESULTS_PER_SECOND))
    const origin = `http://127.0.0.1:${port}`
    await introduce(stage, origin)
    await stage.batch(RESULTS_PER_SECOND * RESULTS_SECONDS, () => ({ url: origin }))
    return async () =>
      (await stage.health()).shards.some((shard) => shard.finished >= RESULTS_BEYOND)
  },
}

/** All of them. */
export const ATTACKS: readonly Attack[] = [
  stalledAnswers, permits, deadReceivers, connections, upstreams, lanes, names, watches,
  cancellations, streams, sockets, idleClients, slowBodies, fullMemory, largeResults,
]
