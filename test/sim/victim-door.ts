// The same for the pools of the front door and of name look-ups: the project's own classes in
// virtual time, attackers that immediately retake what they give back, and a victim that uses a
// pool PER_SECOND times a second.

import { KIB, type Micros, msToUs, NONE, type PerSecond } from '../../shards/base/units.ts'
import { Lookups } from '../../shards/dns/lookups.ts'
import type { NameAnswer } from '../../shards/dns/name-source.ts'
import { KIND_UPSTREAM } from '../../shards/memory/layout.ts'
import { QUESTIONS_PER_TURN_MAX } from '../../shards/memory/limits.ts'
import { LOOKUPS_MAX } from '../../shards/memory/name-limits.ts'
import type { SharedPool } from '../../shards/memory/pools.ts'
import { RingReader } from '../../shards/memory/ring.ts'
import { CODE_NOT_FOUND, WORD_REQUEST } from '../../shards/wire/contract.ts'
import { formatJobId } from '../../shards/wire/job-id.ts'
import { OPERATOR } from '../../src/access/principal.ts'
import { AccountShare, makeHeldTable, type PoolContext } from '../../src/base/account-share.ts'
import { ClientBytes } from '../../src/base/client-bytes.ts'
import { CLIENT_BYTES_MIN } from '../../src/base/client-limits.ts'
import { SOCKETS_MAX, STREAMS_MAX } from '../../src/base/limits.ts'
import { DOOR_POOLS } from '../../src/base/pools.ts'
import { makeQuestionTable, Questions } from '../../src/engine/questions.ts'
import { BatchBells, openShardLink } from '../../src/engine/shard-link.ts'
import type { Asker } from '../../src/job/asker.ts'
import { makePendingTable, PendingJobs } from '../../src/submit/pending-jobs.ts'
import { Upstreams } from '../../src/submit/upstream-slots.ts'
import { Watches, makeWatchTable } from '../../src/submit/watches.ts'
import { shardMemory, smallLimits } from '../support/shard-memory.ts'
import { VirtualTime } from '../support/virtual-clock.ts'
import {
  GAP_MS_MAX, longestGap, PER_SECOND, type PoolName, SENDS, SENDS_SHARE_MIN,
} from './victim.ts'
import { promise } from './violation.ts'

const CHECKER = 'victim'
const VICTIM = 1
const ATTACKERS = [2, 3, 4]
/** How long the victim holds each unit. */
const KEPT_US = 100_000
const FILL_MS_MAX = 2000

/** A pool under attack. */
interface DoorScene {
  /** The attackers take what they can; called every millisecond. */
  attack(): void
  /** Whether the attackers have been refused. */
  isFull(): boolean
  /** The victim needs one unit, once; `served` is called after it had it. */
  serve(served: () => void): void
}

/** One attack. */
export interface DoorAttack {
  readonly pool: PoolName
  readonly what: string
  readonly open: (time: VirtualTime) => DoorScene
}

/** Takes a unit; returns a function that gives it back, or undefined when refused. */
type Take = (who: number) => (() => void) | undefined

const context = (time: VirtualTime): PoolContext =>
  ({ clock: time.clock(), warn: () => {} })

/** A scene of units that are taken and given back. */
function unitScene(time: VirtualTime, take: Take): DoorScene {
  const taken = ATTACKERS.map((): (() => void)[] => [])
  let isFull = false
  return {
    attack: () => {
      for (const [at, who] of ATTACKERS.entries()) {
        taken[at]?.pop()?.()
        for (let give = take(who); give !== undefined; give = take(who)) taken[at]?.push(give)
      }
      isFull = true
    },
    isFull: () => isFull,
    serve: (served) => {
      const give = take(VICTIM)
      if (give === undefined) return
      served()
      time.at((time.nowUs() + KEPT_US) as Micros, give)
    },
  }
}

function shareScene(time: VirtualTime, pool: SharedPool, bound: number): DoorScene {
  const share = new AccountShare(pool, bound, makeHeldTable(bound), context(time))
  return unitScene(time, (who) => {
    if (share.refusal(who) !== undefined) return undefined
    share.take(who)
    return () => share.give(who)
  })
}

function openRequests(time: VirtualTime): DoorScene {
  const pending = new PendingJobs(makePendingTable(), context(time))
  const asker: Asker =
    { principal: OPERATOR, isBulk: true, accepted: () => {}, duplicate: () => {}, denied: () => {} }
  return unitScene(time, (who) => {
    if (pending.isFullFor(asker) || pending.refusal(asker, who) !== undefined) return undefined
    const request = pending.add(asker, 0, 0, who, false)
    return () => { pending.take(request) }
  })
}

function openAudience(time: VirtualTime): DoorScene {
  const watches = new Watches(makeWatchTable(), context(time), () => true)
  const watcher = { told: () => {} }
  let jobs = 0
  return unitScene(time, (who) => {
    const jobId = formatJobId(who, 0, jobs++)
    if (!watches.mayWatch(jobId, 0)) return undefined
    watches.expect(jobId, 0)
    watches.join(jobId, watcher)
    return () => watches.leave(jobId, watcher)
  })
}

const UNIT_BYTES = 20 * KIB

function openClientBytes(time: VirtualTime): DoorScene {
  const pool = new ClientBytes(CLIENT_BYTES_MIN, time.clock(), { warn: () => {} })
  const held = new Map<number, number>()
  return unitScene(time, (who) => {
    const before = held.get(who) ?? 0
    if (!pool.take(before, UNIT_BYTES)) return undefined
    held.set(who, before + UNIT_BYTES)
    return () => {
      pool.give(UNIT_BYTES)
      held.set(who, (held.get(who) ?? 0) - UNIT_BYTES)
    }
  })
}

/** Origins that the victim sends to; the attackers name each origin once. */
const VICTIM_ORIGINS = 5

function openUpstreams(time: VirtualTime): DoorScene {
  const limits = smallLimits({ upstreamsMax: 256, lanesMax: 512 })
  const upstreams = new Upstreams({
    shared: shardMemory(limits).shared, slotsMax: limits.upstreamsMax, shards: 1,
    settingsOf: () => ({
      pacePerSecond: 2 as PerSecond, concurrentMax: 100, accountQueues: false, timeoutMs: 30_000,
    }),
    release: () => true, isUnused: () => false,
  })
  let named = 0
  return unitScene(time, (who) => {
    const name = who === VICTIM ? named++ % VICTIM_ORIGINS : named++
    const slot = upstreams.claim(`http://${name}.of-${who}.test`, KIND_UPSTREAM,
      { route: who, high: who }, time.nowUs())
    return slot === NONE ? undefined : () => {}
  })
}

/** The duration of a busy shard's turns. */
const TURN_US = 5000

function openQuestions(time: VirtualTime): DoorScene {
  const [views] = shardMemory(smallLimits()).shards
  if (views === undefined) throw new Error('memory without a shard')
  const link = openShardLink(0, views)
  const reader = new RingReader(views.ingress, true)
  const questions = new Questions(
    [link], new BatchBells([link], () => {}), makeQuestionTable(1), context(time))
  let asked = 0
  let isFull = false
  let turnUs = 0
  /** A turn of the shard. */
  const answerSome = (): void => {
    const requests: number[] = []
    reader.read((_, offset) => {
      requests.push(reader.u32[offset / 4 + WORD_REQUEST] as number)
      return true
    }, QUESTIONS_PER_TURN_MAX)
    for (const request of requests) questions.answered(request, CODE_NOT_FOUND, null)
  }
  /** Whether the question was sent, or was answered at once. */
  const ask = (who: number, answered: () => void): boolean => {
    let isRefused = false
    questions.ask('cancel', formatJobId(who, 0, asked++), 0, {
      isBulk: true, answered, unavailable: () => { isRefused = true },
    })
    return !isRefused
  }
  return {
    attack: () => {
      if (time.nowUs() >= turnUs) {
        turnUs = time.nowUs() + TURN_US
        answerSome()
      }
      for (const who of ATTACKERS) while (ask(who, () => {}));
      isFull = true
    },
    isFull: () => isFull,
    serve: (served) => { ask(VICTIM, served) },
  }
}

const ANSWER_MS = 5

function openLookups(time: VirtualTime): DoorScene {
  const found = new Set<string>()
  let asked = 0
  const lookups = new Lookups({
    clock: time.clock(),
    keep: (name, answer) => { if (answer.kind === 'found') found.add(name) },
    source: {
      known: () => undefined,
      ask: (name, done) => {
        if (!name.endsWith('.victim')) return () => {}
        const owner = {}
        const answer: NameAnswer = { kind: 'found', addresses: ['192.0.2.1'], ttlMs: 1000 }
        time.at((time.nowUs() + msToUs(ANSWER_MS)) as Micros, () => done(answer), owner)
        return () => time.cancel(owner)
      },
    },
  })
  return {
    attack: () => {
      for (const who of ATTACKERS) lookups.join(`${asked++}.silent`, () => {}, who)
    },
    isFull: () => asked > 2 * LOOKUPS_MAX,
    serve: (served) => {
      const name = `${asked++}.victim`
      lookups.join(name, () => { if (found.has(name)) served() }, VICTIM)
    },
  }
}

/** All attacks. */
export const DOOR_ATTACKS: readonly DoorAttack[] = [
  { pool: 'clientMemory', what: 'connections that hold all they may', open: openClientBytes },
  {
    pool: 'sockets', what: 'addresses that open all they may',
    open: (time) => shareScene(time, DOOR_POOLS.sockets, SOCKETS_MAX),
  },
  { pool: 'requests', what: 'accounts that post all they may', open: openRequests },
  { pool: 'upstreamSlots', what: 'accounts with an upstream for each job', open: openUpstreams },
  { pool: 'questions', what: 'a storm of cancellations', open: openQuestions },
  {
    pool: 'streams', what: 'accounts that open all they may',
    open: (time) => shareScene(time, DOOR_POOLS.streams, STREAMS_MAX),
  },
  { pool: 'watchedJobs', what: 'accounts that follow all they may', open: openAudience },
  { pool: 'lookups', what: 'hosts whose name servers are silent', open: openLookups },
]

/** The victim's units, and its longest pause. */
export interface DoorReport {
  readonly units: number
  readonly longestGapMs: number
}

/** Runs one attack; throws a Violation unless the victim had its share. */
export function runDoorAttack({ open, pool, what }: DoorAttack): DoorReport {
  const time = new VirtualTime()
  const scene = open(time)
  const tick = (): void => {
    scene.attack()
    time.advanceTo((time.nowUs() + 1000) as Micros)
  }
  for (let left = FILL_MS_MAX; !scene.isFull(); left--) {
    promise(left > 0, CHECKER, () => `the pool is not filled by ${what}`)
    tick()
  }
  const fromUs = time.nowUs()
  const served: number[] = []
  for (let unit = 0; unit < SENDS; unit++) {
    scene.attack()
    scene.serve(() => { served.push(time.nowUs()) })
    for (let ms = 0; ms < 1000 / PER_SECOND; ms++) tick()
  }
  const longestGapMs = longestGap(served, fromUs, time.nowUs()) / 1000
  const title = `${pool}, ${what}`
  promise(served.length >= SENDS * SENDS_SHARE_MIN, CHECKER, () =>
    `${title}: only ${served.length} units`)
  promise(longestGapMs <= GAP_MS_MAX, CHECKER, () => `${title}: nothing for ${longestGapMs} ms`)
  return { units: served.length, longestGapMs }
}
