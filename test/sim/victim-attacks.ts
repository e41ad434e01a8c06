// Attacks that each fill one pool of a shard, and how it is detected that it is full.

import { KIB } from '../../shards/base/units.ts'
import { KIND_RECEIVER, KIND_UPSTREAM } from '../../shards/memory/layout.ts'
import { CALM, NEAR, type Reach, SOCKET_BOUNDS, type Weather } from './scenario.ts'
import { type PlaceFacts, type PoolName, type SimAttack, VICTIM_PLACE } from './victim.ts'

/** Pools that are not attacked here, and why. */
export const UNSIMULATED: Partial<Record<PoolName, string>> = {
  clientConnections: 'they are counted by the library that has the sockets: test/victim',
  descriptors: 'there are none; the connections of sends are their part of them',
  journalQueue: 'only a disk that cannot be written fills it: ' +
    'test/unit/shards/journal/journal-stall.test.ts',
  keptNames: 'what is given up is asked for again: test/unit/shards/dns/resolver.test.ts',
}

const HUGE = 1_000_000
const QUICK: Weather = CALM
/** A response that may have arrived in part, but never ends. */
const SILENT: Weather = { ...CALM, ok: 0, silent: 1 }
const WIDE: Reach = { ...NEAR, connectionsMax: HUGE }
/** No connection can be opened within the time of the test. */
const NOBODY: Reach = { ...NEAR, connectLow: 9, connectHigh: 9 }

/** An upstream that asks for the highest pace. */
const upstream = (
  weather: Weather, { pacePerSecond = HUGE, reach = WIDE } = {},
): PlaceFacts => ({
  weather, reach,
  start: {
    pacePerSecond, accountQueues: false, concurrentMax: HUGE, kind: KIND_UPSTREAM,
    timeoutMs: 120_000,
  },
})

const receiver = (weather: Weather, concurrentMax: number): PlaceFacts => ({
  weather, reach: WIDE,
  start: {
    pacePerSecond: HUGE, accountQueues: false, concurrentMax, kind: KIND_RECEIVER,
    timeoutMs: 120_000,
  },
})

const times = <T>(count: number, make: (at: number) => T): T[] =>
  Array.from({ length: count }, (_, at) => make(at))

/** Memory for as many jobs as there may be requests in flight. */
const MANY = { jobsMax: 20_000, segmentsMax: 256, ringBytes: 16 * 1024 * KIB }

const silentUpstreams: SimAttack = {
  pool: 'inFlight', what: 'three upstreams that never answer',
  world: { upstreams: times(3, () => upstream(SILENT)), limits: MANY },
  begin: (stage) => {
    const account = stage.account()
    stage.submit(15_500, (at) => ({ account, upstream: 1 + at % 3 }))
    return () => stage.stats.inFlight >= 14_000
  },
}

const deadReceivers: SimAttack = {
  pool: 'webhooksInFlight', what: 'eight receivers that never answer',
  world: {
    upstreams: [upstream(QUICK)], receivers: times(8, () => receiver(SILENT, HUGE)), limits: MANY,
  },
  begin: (stage) => {
    const account = stage.account()
    stage.submit(9000, (at) => ({ account, upstream: 1, receiver: stage.receivers[at % 8] ?? 0 }))
    return () => stage.stats.webhooksInFlight >= 7600
  },
}

const CONNECTIONS = 256

const connections: SimAttack = {
  pool: 'connections', what: 'upstreams that never accept and others that never answer',
  world: {
    upstreams: times(8, (at) => upstream(SILENT, { reach: at < 4 ? NOBODY : WIDE })),
    sockets: { ...SOCKET_BOUNDS, connectionsMax: CONNECTIONS },
    reach: { ...NEAR, closes: 1 },
  },
  begin: (stage) => {
    const account = stage.account()
    stage.submit(3000, (at) => ({ account, upstream: 1 + at % 8 }))
    return () => stage.sockets.room.counts.used >= CONNECTIONS * 0.95
  },
}

const stalledResponses: SimAttack = {
  pool: 'responseBytes', what: 'responses that stall',
  world: {
    upstreams: times(2, () => upstream({ ...SILENT, bodyBytesMax: 8 * KIB }, {
      pacePerSecond: 2000,
    })),
    sockets: { ...SOCKET_BOUNDS, responseBytesMax: 512 * KIB },
  },
  begin: (stage) => {
    const account = stage.account()
    stage.submit(2000, (at) => ({ account, upstream: 1 + at % 2 }))
    return () => stage.sockets.memory.usedBytes >= 512 * KIB * 0.64
  },
}

const inventedUsers: SimAttack = {
  pool: 'lanesByUpstream', what: 'an upstream with a user for each job',
  world: { upstreams: [upstream(SILENT)], victims: 5 },
  begin: (stage) => {
    stage.submit(1000, () => ({ account: stage.account(), upstream: 1 }))
    return () => stage.lanesRefused > 0
  },
}

const inventedKeys: SimAttack = {
  pool: 'lanesByUser', what: "a user with an API key for each job, at the victim's upstream",
  world: { victims: 5 },
  begin: (stage) => {
    // In a different group than the victim's users, so that they do not share a lane.
    const route = 0xffffffff
    stage.submit(1000, () => ({ account: stage.account(route), upstream: VICTIM_PLACE }))
    return () => stage.lanesRefused > 0
  },
}

const inventedUpstreams: SimAttack = {
  pool: 'sharedLanes', what: 'eight upstreams with a user for each job',
  world: {
    upstreams: times(8, () => upstream(SILENT)), victims: 2,
    limits: { lanesMax: 128 + 32 },
  },
  begin: (stage) => {
    stage.submit(2000, (at) => ({ account: stage.account(), upstream: 1 + at % 8 }))
    return () => stage.stats.accepted >= 2000
  },
}

const fullLog: SimAttack = {
  pool: 'logSpace', what: 'waiting jobs with large bodies',
  world: { upstreams: [upstream(SILENT, { pacePerSecond: 0.5 })] },
  begin: (stage) => {
    const account = stage.account()
    // Small jobs fill the space that large ones leave.
    stage.every(20, () => stage.submit(20, () =>
      ({ account, upstream: 1, bodyBytes: stage.refused === 0 ? 6 * KIB : 0 })))
    return () => stage.refused > 0
  },
}

/** Result bodies of about half of this on average. */
const LARGE: Weather = { ...QUICK, bodyBytesMax: 8 * KIB }

const undeliveredResults: SimAttack = {
  pool: 'undeliveredResults', what: 'results for a receiver that hangs',
  world: { upstreams: [upstream(LARGE)], receivers: [receiver(SILENT, 4)] },
  begin: (stage) => {
    const account = stage.account()
    const hook = stage.receivers[0] as number
    stage.every(100, () => stage.submit(20, () => ({ account, upstream: 1, receiver: hook })))
    return () => stage.logFill > 0.9
  },
}

const keptResults: SimAttack = {
  pool: 'keptResults', what: 'results that nobody fetches',
  world: { upstreams: [upstream(LARGE)] },
  begin: (stage) => {
    const account = stage.account()
    stage.every(100, () => stage.submit(20, () => ({ account, upstream: 1 })))
    return () => stage.logFill > 0.24
  },
}

const JOBS = 1024

const finishedJobs: SimAttack = {
  pool: 'finishedJobs', what: 'as many finished jobs as there are slots',
  world: { upstreams: [upstream(QUICK)], limits: { jobsMax: JOBS } },
  begin: (stage) => {
    const account = stage.account()
    stage.every(100, () => stage.submit(20, () => ({ account, upstream: 1 })))
    return () => stage.stats.jobSlotsUsed === JOBS
  },
}

const fullRing: SimAttack = {
  pool: 'ringSpace', what: 'bursts that fill the ring',
  world: { upstreams: [upstream(QUICK)], limits: { ringBytes: 128 * KIB } },
  begin: (stage) => {
    const account = stage.account()
    stage.every(20, () => {
      const before = stage.refused
      while (stage.refused === before) {
        stage.submit(1, () => ({ account, upstream: 1, bodyBytes: 6 * KIB }))
      }
    })
    return () => stage.refused > 0
  },
}

/** All attacks. */
export const SIM_ATTACKS: readonly SimAttack[] = [
  silentUpstreams, deadReceivers, connections, stalledResponses, inventedUsers, inventedKeys,
  inventedUpstreams, fullLog, undeliveredResults, keptResults, finishedJobs, fullRing,
]
