// How long the refused are asked to wait, and who waits for which answer.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { type Micros, NONE } from '../../../../shards/base/units.ts'
import { makeWaitingTable, Waiting } from '../../../../src/engine/waiting.ts'
import {
  Admission, makeAdmissionTable, retryAfterSeconds,
} from '../../../../src/submit/admission.ts'

test('the wait doubles with refusals in a row', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 1000].map(retryAfterSeconds)
  assert.deepEqual(waits, [5, 10, 20, 40, 60, 60, 60, 60])
})

const at = (seconds: number): Micros => (seconds * 1_000_000) as Micros

test('refusals before a wait is over are one burst, and asked to wait as long', () => {
  const admission = new Admission(makeAdmissionTable(1))
  const burst = Array.from({ length: 3000 }, () => admission.refused(0, 'memory', at(1)))
  assert.deepEqual(new Set(burst), new Set([5]))
  assert.equal(admission.refused(0, 'memory', at(5.9)), 5)
  assert.equal(admission.refused(0, 'memory', at(6)), 10)
  assert.equal(admission.refused(0, 'memory', at(15.9)), 10)
  assert.equal(admission.refused(0, 'memory', at(16)), 20)
  admission.accepted(0)
  assert.equal(admission.refused(0, 'memory', at(16)), 5)
})

test('an acceptance resets the wait of its own shard only', () => {
  const admission = new Admission(makeAdmissionTable(2))
  assert.equal(admission.refused(0, 'memory', at(0)), 5)
  assert.equal(admission.refused(0, 'jobs', at(5)), 10)
  assert.equal(admission.refused(1, 'ingress', at(5)), 5)
  admission.accepted(0)
  assert.equal(admission.refused(0, 'memory', at(10)), 5)
  assert.equal(admission.refused(1, 'upstreams', at(10)), 10)
  admission.duplicate()
  admission.reused()
  admission.invalid()
  admission.denied()
  admission.keyRefused('key_rate')
  admission.unavailable()
  assert.deepEqual(admission.counts, {
    accepted: 1, duplicates: 1, reusedKeys: 1, invalid: 1, denied: 1, unavailable: 1,
    refused: {
      memory: 2, memory_share: 0, jobs: 1, ingress: 1, upstreams: 1, upstreams_share: 0,
      requests_share: 0, key_jobs: 0, key_rate: 1, key_streams: 0, key_sockets: 0,
    },
  })
})

test('whoever waits is found once, under a number that is not used again soon', () => {
  const waiting = new Waiting<{ name: string }>(makeWaitingTable(2))
  const ann = waiting.add({ name: 'ann' }, 0)
  const bob = waiting.add({ name: 'bob' }, 1)
  assert.ok(waiting.isFull)
  assert.equal(waiting.add({ name: 'eve' }, 0), NONE)
  assert.equal(waiting.take(ann)?.name, 'ann')
  assert.equal(waiting.take(ann), undefined)
  const eve = waiting.add({ name: 'eve' }, 0)
  assert.notEqual(eve, ann)
  assert.equal(waiting.take(ann), undefined, 'a late answer finds nobody')
  assert.equal(waiting.take(NONE), undefined)
  assert.deepEqual(waiting.requestsOf(1), [bob])
  assert.deepEqual(waiting.requestsOf(0), [eve])
  assert.equal(waiting.take(bob)?.name, 'bob')
  assert.equal(waiting.take(bob), undefined)
  assert.deepEqual(waiting.requestsOf(1), [])
  assert.equal(waiting.size, 1)
  assert.equal(waiting.take(eve)?.name, 'eve')
})

test('numbers are 32 bits, never NONE, and outlive many generations', () => {
  const waiting = new Waiting<object>(makeWaitingTable(65_536))
  const second = new Waiting<object>(makeWaitingTable(65_536, true))
  const prng = new Prng(3)
  const open = new Map<number, object>()
  for (let round = 0; round < 300_000; round++) {
    if (open.size < 8 || prng.chance(0.5)) {
      const entry = {}
      const request = waiting.add(entry, 0)
      assert.ok(request >>> 0 === request && request !== NONE)
      assert.ok(!open.has(request))
      assert.equal(second.take(request), undefined)
      assert.equal(waiting.take(second.add(entry, 0)), undefined)
      open.set(request, entry)
    } else {
      const [request, entry] = [...open][0] as [number, object]
      open.delete(request)
      assert.equal(waiting.take(request), entry)
    }
    assert.equal(waiting.size, open.size)
    if (open.size > 32) {
      for (const request of open.keys()) assert.ok(waiting.take(request))
      open.clear()
    }
  }
})
