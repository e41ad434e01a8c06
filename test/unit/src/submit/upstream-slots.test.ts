// The table of upstreams: slots, records, and giving the unused back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { MIB, type Micros, msToUs, NONE, type PerSecond } from '../../../../shards/base/units.ts'
import {
  allocateShared, attachShared, KIND_RECEIVER, KIND_UPSTREAM, type SharedViews,
  UPSTREAM_ACCOUNT_QUEUES, UPSTREAM_BASE_F64, UPSTREAM_CONCURRENT_MAX, UPSTREAM_IN_FLIGHT,
  UPSTREAM_INTERVAL_NS, UPSTREAM_KIND, UPSTREAM_RECORD_WORDS, UPSTREAM_TIMEOUT_MS,
} from '../../../../shards/memory/layout.ts'
import { IDLE_KEEP_MS_MIN } from '../../../../shards/memory/limits.ts'
import { type Limits, planMemory } from '../../../../shards/memory/plan.ts'
import type { HolderHash } from '../../../../src/base/hash.ts'
import {
  UPSTREAM_RELEASES_PER_REFUSAL_MAX, UPSTREAM_UNUSED_MS_MIN,
} from '../../../../src/base/limits.ts'
import { type UpstreamKind, Upstreams } from '../../../../src/submit/upstream-slots.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_262)
const IDLE_US = msToUs(IDLE_KEEP_MS_MIN)

/** A release as the shards were asked for it. */
interface Release { request: number, slot: number }

interface Table {
  upstreams: Upstreams
  shared: SharedViews
  releases: Release[]
  /** Whether the shards' rings have room for a release. */
  room: { is: boolean }
  /** Slots that no shard has a job for, or has sent anything to. */
  unused: Set<number>
}

function makeTable(slotsMax: number, shards: number): Table {
  const plan = planMemory({
    memoryBytes: 64 * MIB, shards: 1, bodyBytesMax: 1024, responseBytesMax: 1024,
  })
  assert.ok(plan.ok)
  const limits: Limits = plan.limits
  const shared = attachShared(allocateShared(limits), limits)
  const releases: Release[] = []
  const room = { is: true }
  const unused = new Set<number>()
  const upstreams = new Upstreams({
    shared, slotsMax, shards,
    settingsOf: (origin, role) => ({
      pacePerSecond: (role === 'receiver' ? 1000 : 3) as PerSecond,
      concurrentMax: origin.length, accountQueues: role === 'upstream', timeoutMs: 1234,
    }),
    release: (request, slot) => {
      if (room.is) releases.push({ request, slot })
      return room.is
    },
    isUnused: (slot) => unused.has(slot),
  })
  return { upstreams, shared, releases, room, unused }
}

const origin = (at: number): string => `http://h${at}.example`
const user = (at: number): HolderHash => ({ route: at * 0x9e3779b1 >>> 0, high: at })
const us = (value: number): Micros => value as Micros

test('a new origin gets a slot and a record; a target and a receiver are two', () => {
  const { upstreams, shared } = makeTable(8, 2)
  const target = upstreams.claim(origin(1), KIND_UPSTREAM, user(1), us(1))
  const receiver = upstreams.claim(origin(1), KIND_RECEIVER, user(1), us(2))
  assert.notEqual(target, receiver)
  assert.equal(upstreams.claim(origin(1), KIND_UPSTREAM, user(1), us(3)), target)
  assert.equal(upstreams.originOf(receiver), origin(1))
  assert.equal(upstreams.originOf(7), 'unknown')
  assert.equal(upstreams.size, 2)
  for (const [slot, interval, queues, kind] of [
    [target, 333_333_334, 1, KIND_UPSTREAM], [receiver, 1_000_000, 0, KIND_RECEIVER],
  ] as const) {
    const at = slot * UPSTREAM_RECORD_WORDS
    const words = shared.upstreams
    assert.equal(shared.upstreamTimesF64[at / 2 + UPSTREAM_BASE_F64], 0)
    assert.equal(words[at + UPSTREAM_INTERVAL_NS], interval)
    assert.equal(words[at + UPSTREAM_CONCURRENT_MAX], origin(1).length)
    assert.equal(words[at + UPSTREAM_IN_FLIGHT], 0)
    assert.equal(words[at + UPSTREAM_ACCOUNT_QUEUES], queues)
    assert.equal(words[at + UPSTREAM_KIND], kind)
    assert.equal(words[at + UPSTREAM_TIMEOUT_MS], 1234)
  }
})

test('a full table asks back the longest unused, once they are idle long enough', () => {
  const { upstreams, releases } = makeTable(3, 2)
  const slots = [1, 2, 3].map((at) => upstreams.claim(origin(at), KIND_UPSTREAM, user(at), us(at)))
  upstreams.claim(origin(1), KIND_UPSTREAM, user(1), us(10)) // the oldest is now 2
  assert.equal(upstreams.claim(origin(4), KIND_UPSTREAM, user(4), us(20)), NONE)
  assert.equal(releases.length, 0, 'nothing is idle yet')
  assert.equal(upstreams.claim(origin(4), KIND_UPSTREAM, user(4), us(IDLE_US + 2)), NONE)
  assert.deepEqual(releases.map(({ slot }) => slot), [slots[1]])

  const { request } = releases[0] as Release
  upstreams.released(request, true)
  assert.equal(upstreams.claim(origin(4), KIND_UPSTREAM, user(4), us(IDLE_US + 2)), NONE)
  upstreams.released(request, true)
  assert.equal(upstreams.claim(origin(4), KIND_UPSTREAM, user(4), us(IDLE_US + 2)), slots[1])
  assert.equal(upstreams.originOf(slots[1] as number), origin(4))
  upstreams.released(request, true) // late and foreign: nothing happens
  assert.equal(upstreams.claim(origin(4), KIND_UPSTREAM, user(4), us(IDLE_US + 2)), slots[1])
})

test('one busy shard keeps the slot, and it is not tried again at once', () => {
  const { upstreams, releases } = makeTable(1, 2)
  const slot = upstreams.claim(origin(1), KIND_UPSTREAM, user(1), us(0))
  upstreams.claim(origin(2), KIND_UPSTREAM, user(2), us(IDLE_US))
  const { request } = releases[0] as Release
  upstreams.released(request, false)
  upstreams.released(request, true)
  assert.equal(upstreams.claim(origin(1), KIND_UPSTREAM, user(1), us(IDLE_US + 1)), slot)
  assert.equal(upstreams.claim(origin(2), KIND_UPSTREAM, user(2), us(IDLE_US + 2)), NONE)
  assert.equal(releases.length, 1)
  assert.equal(upstreams.claim(origin(2), KIND_UPSTREAM, user(2), us(2 * IDLE_US + 1)), NONE)
  assert.equal(releases.length, 2)
  upstreams.released(request, true) // an answer to the first
  upstreams.released(request, true)
  assert.equal(upstreams.size, 1)
  assert.equal(upstreams.claim(origin(2), KIND_UPSTREAM, user(2), us(2 * IDLE_US + 1)), NONE)
})

test('a shard that never answers holds its slot up only until the next try', () => {
  const { upstreams, releases } = makeTable(1, 2)
  upstreams.claim(origin(1), KIND_UPSTREAM, user(1), us(0))
  upstreams.claim(origin(2), KIND_UPSTREAM, user(2), us(IDLE_US))
  upstreams.released((releases[0] as Release).request, true)
  upstreams.claim(origin(2), KIND_UPSTREAM, user(2), us(2 * IDLE_US))
  assert.equal(releases.length, 2)
  const { request } = releases[1] as Release
  upstreams.released(request, true)
  upstreams.released(request, true)
  assert.notEqual(upstreams.claim(origin(2), KIND_UPSTREAM, user(2), us(2 * IDLE_US)), NONE)
})

test('several are asked for at a refusal, none while the rings are full', () => {
  const { upstreams, releases, room } = makeTable(40, 1)
  for (let at = 0; at < 40; at++) upstreams.claim(origin(at), KIND_RECEIVER, user(at), us(at))
  room.is = false
  upstreams.claim(origin(99), KIND_UPSTREAM, user(99), us(IDLE_US + 100))
  assert.equal(releases.length, 0)
  room.is = true
  upstreams.claim(origin(99), KIND_UPSTREAM, user(99), us(IDLE_US + 100))
  assert.equal(releases.length, UPSTREAM_RELEASES_PER_REFUSAL_MAX)
  upstreams.claim(origin(99), KIND_UPSTREAM, user(99), us(IDLE_US + 100))
  assert.equal(new Set(releases.map(({ slot }) => slot)).size,
    2 * UPSTREAM_RELEASES_PER_REFUSAL_MAX)
})

test('an origin that is named while it is given back keeps its slot', () => {
  const { upstreams, releases } = makeTable(2, 2)
  const slots = [1, 2].map((at) => upstreams.claim(origin(at), KIND_UPSTREAM, user(at), us(at)))
  upstreams.claim(origin(3), KIND_UPSTREAM, user(3), us(IDLE_US + 2))
  assert.deepEqual(releases.map(({ slot }) => slot), slots)
  assert.equal(upstreams.claim(origin(1), KIND_UPSTREAM, user(1), us(IDLE_US + 3)), slots[0])
  for (const { request } of releases) {
    upstreams.released(request, true)
    upstreams.released(request, true)
  }
  assert.equal(upstreams.size, 1)
  assert.equal(upstreams.claim(origin(3), KIND_UPSTREAM, user(3), us(IDLE_US + 4)), slots[1])
})

test('one user has a share of the slots, of both kinds together, and others the rest', () => {
  const { upstreams, releases } = makeTable(300, 1)
  const claim = (at: number, who: number, kind: UpstreamKind): boolean =>
    upstreams.claim(origin(at), kind, user(who), us(at)) !== NONE
  let held = 0
  while (claim(held, 1, held % 2 === 0 ? KIND_UPSTREAM : KIND_RECEIVER)) held++
  assert.equal(held, 200)
  assert.deepEqual(upstreams.shortage(user(1)),
    { reason: 'upstreams_share', limit: 200, current: 200 })
  assert.ok(claim(0, 1, KIND_UPSTREAM), 'what it names already')
  let other = 0
  while (claim(1000 + other, 2, KIND_UPSTREAM)) other++
  assert.equal(other, 67)
  assert.ok(claim(2000, 3, KIND_RECEIVER))
  assert.equal(releases.length, 0)
})

test('an origin that nothing was sent to is reclaimed at the next scan', () => {
  const { upstreams, releases, room, unused } = makeTable(30, 1)
  const claim = (at: number, nowUs: number): number =>
    upstreams.claim(origin(at), KIND_UPSTREAM, user(1), us(nowUs))
  for (let at = 0; at < 20; at++) unused.add(claim(at, 0))
  assert.equal(claim(20, 0), NONE)
  upstreams.tick(us(1))
  assert.equal(releases.length, 0, 'its job may not have come yet')
  const laterUs = msToUs(UPSTREAM_UNUSED_MS_MIN)
  room.is = false
  upstreams.tick(us(laterUs))
  assert.equal(releases.length, 0)
  room.is = true
  upstreams.tick(us(laterUs))
  assert.equal(releases.length, 20)
  upstreams.tick(us(2 * laterUs))
  assert.equal(releases.length, 20, 'asked once')
  for (const { request } of releases) upstreams.released(request, true)
  assert.equal(upstreams.size, 0)
  for (let at = 0; at < 20; at++) assert.notEqual(claim(100 + at, laterUs), NONE)
})

// Model: a map of origins to slots, with the shards' answers drawn at random.
test('random claims and answers: no slot is ever shared, and room always comes back', () => {
  for (let run = 0; run < 200; run++) {
    const seed = SEED + run
    const prng = new Prng(seed)
    const shards = prng.between(1, 3)
    const { upstreams, releases, unused } = makeTable(prng.between(2, 6), shards)
    const busyChance = prng.pick([0, 0.1, 0.5])
    const answerChance = prng.pick([0.2, 1])
    const due: { request: number, slot: number, left: number, kept: boolean }[] = []
    const model = new Map<string, number>()
    let nowUs = 0
    for (let step = 0; step < 200; step++) {
      nowUs += prng.below(IDLE_US)
      unused.clear()
      for (const slot of model.values()) if (prng.chance(0.1)) unused.add(slot)
      upstreams.tick(us(nowUs))
      const at = prng.below(12)
      const name = origin(at)
      const slot = upstreams.claim(name, KIND_UPSTREAM, user(at), us(nowUs))
      // What was asked before the claim is answered after it: the claim keeps the slot.
      for (const release of releases.splice(0)) {
        const older = due.findIndex(({ slot: taken }) => taken === release.slot)
        if (older >= 0) due.splice(older, 1)
        due.push({ ...release, left: shards, kept: false })
      }
      if (slot !== NONE) {
        const known = model.get(name)
        if (known !== undefined) assert.equal(slot, known, `seed ${seed}, step ${step}`)
        for (const [other, taken] of model) {
          assert.ok(other === name || taken !== slot, `shared slot: seed ${seed}, step ${step}`)
        }
        model.set(name, slot)
        for (const release of due) if (release.slot === slot) release.kept = true
      }
      for (const release of due.slice()) {
        if (!prng.chance(answerChance)) continue
        const isBusy = prng.chance(busyChance)
        upstreams.released(release.request, !isBusy)
        release.left--
        release.kept ||= isBusy
        if (release.left > 0) continue
        due.splice(due.indexOf(release), 1)
        if (release.kept) continue
        for (const [other, taken] of model) if (taken === release.slot) model.delete(other)
      }
      assert.equal(upstreams.size, model.size, `seed ${seed}, step ${step}`)
    }
  }
})
