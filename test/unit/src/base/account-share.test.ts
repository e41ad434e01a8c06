// Shares of accounts in the front door's pools, by the tables that use them.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WATCHED_JOBS_MAX } from '../../../../shards/memory/limits.ts'
import { formatJobId } from '../../../../shards/wire/job-id.ts'
import { OPERATOR } from '../../../../src/access/principal.ts'
import {
  AccountShare, makeHeldTable, type PoolContext,
} from '../../../../src/base/account-share.ts'
import { REQUESTS_PENDING_BULK_MAX, REQUESTS_PENDING_MAX } from '../../../../src/base/limits.ts'
import { DOOR_POOLS } from '../../../../src/base/pools.ts'
import { addressKey } from '../../../../src/http/client-address.ts'
import type { Asker } from '../../../../src/job/asker.ts'
import { makePendingTable, PendingJobs } from '../../../../src/submit/pending-jobs.ts'
import { Watches, makeWatchTable } from '../../../../src/submit/watches.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

const CONTEXT: PoolContext = { clock: new VirtualTime().clock(), warn: () => {} }

const askerOf = (isBulk: boolean): Asker =>
  ({ principal: OPERATOR, isBulk, accepted: () => {}, duplicate: () => {}, denied: () => {} })

describe('shares of accounts', () => {
  it('are of what is free, and say what they are', () => {
    const table = makeHeldTable(100)
    const share = new AccountShare(DOOR_POOLS.streams, 100, table, CONTEXT)
    while (share.refusal(7) === undefined) share.take(7)
    assert.deepEqual(share.facts(7), { limit: 66, current: 67 })
    assert.equal(share.refusal(7), 'share')
    assert.equal(share.refusal(8), undefined)
    for (let at = 0; at < 67; at++) share.give(7)
    assert.equal(table.counts.used, 0)
    assert.ok(table.held.every((count) => count === 0))
  })

  it('of jobs under way leave some to others, and of those of sockets a part to posts', () => {
    const pending = new PendingJobs(makePendingTable(), CONTEXT)
    const [bulk, single] = [askerOf(true), askerOf(false)]
    const requests: number[] = []
    while (pending.refusal(bulk, 1) === undefined) requests.push(pending.add(bulk, 0, 0, 1, false))
    assert.equal(pending.size, Math.ceil(REQUESTS_PENDING_BULK_MAX * 4 / 5))
    for (let route = 2; pending.refusal(bulk, route) === undefined; route++) {
      while (pending.refusal(bulk, route) === undefined) pending.add(bulk, 0, 0, route, false)
    }
    assert.equal(pending.size, REQUESTS_PENDING_BULK_MAX)
    assert.ok(pending.isFullFor(bulk))
    assert.equal(pending.refusal(single, 1000), undefined)
    for (const request of requests) assert.equal(pending.take(request), bulk)
    assert.equal(pending.refusal(bulk, 1), undefined)
    assert.ok(REQUESTS_PENDING_MAX > REQUESTS_PENDING_BULK_MAX)
  })

  it('of watched jobs count each job once, also while its shard has yet to be notified', () => {
    const table = makeWatchTable()
    let hasRoom = false
    const watches = new Watches(table, CONTEXT, () => hasRoom)
    const watcher = { told: () => {} }
    let at = 0
    const next = (route: number): string => formatJobId(route, 0, at++)
    const first = next(5)
    for (let jobId = first; watches.mayWatch(jobId, 0); jobId = next(5)) {
      watches.expect(jobId, 0)
      watches.join(jobId, watcher)
    }
    assert.equal(watches.jobs, Math.ceil(WATCHED_JOBS_MAX * 2 / 3))
    assert.ok(watches.mayWatch(first, 0), 'followed already')
    assert.ok(!watches.mayWatchNew(5, 0))
    assert.ok(watches.mayWatch(next(6), 0))
    watches.leave(first, watcher)
    assert.equal(table.held.counts.used, watches.jobs)
    assert.ok(!watches.mayWatchNew(5, 0), 'its shard still watches it')
    watches.expect(first, 0)
    watches.giveUp(first, true)
    hasRoom = true
    watches.retryUnwatch()
    assert.equal(table.held.counts.used, watches.jobs)
    assert.ok(watches.mayWatchNew(5, 0))
  })

  it('of addresses are one for a network of IPv6', () => {
    const key = (...bytes: number[]): string => addressKey(Uint8Array.from(bytes).buffer)
    const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1]
    assert.equal(key(10, 0, 0, 1), '0a000001')
    assert.equal(key(...mapped), key(10, 0, 0, 1))
    const home = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1]
    assert.equal(key(...home, 0, 0, 0, 0, 0, 0, 0, 1), key(...home, 9, 9, 9, 9, 9, 9, 9, 9))
    assert.equal(key(), '')
  })
})
