// The headers that Sluice adds: which, in which words, and nothing of the caller's changed; and the
// id that the first of them carries.

import assert from 'node:assert/strict'
import { describe, it, mock } from 'node:test'
import { util } from 'undici'
import type { JobSlot } from '../../../../shards/base/units.ts'
import {
  addLoadHeaders, type Load, loadHeaderNames,
} from '../../../../shards/signals/queue-headers.ts'
import { addHeaderNames } from '../../../../shards/transport/undici-header-tables.ts'
import { formatJobId, jobIdText } from '../../../../shards/wire/job-id.ts'
import { oneShard } from '../../../support/shard-memory.ts'

const LOAD: Load = {
  jobId: '0123456789abcdef01234567', attempt: 3, totalJobs: 12, queueDepth: 7, flowRate: 2,
  concurrentMax: 100, accountQueue: false,
}

/** What is added to the caller's headers, by name. */
function added(load: Load): Record<string, string> {
  const headers = ['Content-Type', 'text/plain']
  addLoadHeaders(headers, load)
  const entries: [string, string][] = []
  for (let at = 2; at < headers.length; at += 2) {
    entries.push([headers[at] as string, headers[at + 1] as string])
  }
  return Object.fromEntries(entries)
}

describe('addLoadHeaders', () => {
  it('adds every header of the contract', () => {
    assert.deepEqual(added(LOAD), {
      'X-Sluice-Job-Id': '0123456789abcdef01234567',
      'X-Sluice-Attempt': '3',
      'X-Aqueduct-Total-Jobs': '12',
      'X-Aqueduct-Queue-Depth': '7',
      'X-Aqueduct-Flow-Rate': '2.00',
      'X-EZTHROTTLE-CURRENT-TOTAL-JOBS': '12',
      'X-EZTHROTTLE-CURRENT-QUEUE-DEPTH': '7',
      'X-EZTHROTTLE-CURRENT-FLOW-RATE': '2.00',
      'X-EZTHROTTLE-CURRENT-MAX-CONCURRENT': '100',
      'X-EZTHROTTLE-CURRENT-ACCOUNT-QUEUE-ENABLED': 'false',
      'X-EZTHROTTLE-CURRENT-QUEUE-MODE': 'shared',
    })
  })

  it('says so when accounts have queues of their own', () => {
    const headers = added({ ...LOAD, accountQueue: true })
    assert.equal(headers['X-EZTHROTTLE-CURRENT-ACCOUNT-QUEUE-ENABLED'], 'true')
    assert.equal(headers['X-EZTHROTTLE-CURRENT-QUEUE-MODE'], 'account')
  })

  it('rounds the rate to hundredths', () => {
    assert.equal(added({ ...LOAD, flowRate: 2.999999994 })['X-Aqueduct-Flow-Rate'], '3.00')
    assert.equal(added({ ...LOAD, flowRate: 0.5 })['X-Aqueduct-Flow-Rate'], '0.50')
    assert.equal(added({ ...LOAD, flowRate: 1_000_000 })['X-Aqueduct-Flow-Rate'], '1000000.00')
  })

  it('leaves what the caller sent where it was', () => {
    const headers = ['X-Sluice-Attempt', 'mine', 'content-type', 'text/plain']
    addLoadHeaders(headers, LOAD)
    assert.deepEqual(
      headers.slice(0, 4), ['X-Sluice-Attempt', 'mine', 'content-type', 'text/plain'])
  })
})

describe('their names', () => {
  it('are all those that are added', () => {
    assert.deepEqual(loadHeaderNames(), Object.keys(added(LOAD)))
  })

  it('are in undici\'s table, so that it need not lower them', () => {
    const names = loadHeaderNames()
    assert.equal(addHeaderNames(names, []), undefined)
    const lowered = mock.method(String.prototype, 'toLowerCase')
    try {
      const seen = names.map((name) => util.headerNameToString(name))
      assert.equal(lowered.mock.callCount(), 0)
      assert.equal(util.headerNameToString('X-Of-A-Caller'), 'x-of-a-caller')
      assert.equal(lowered.mock.callCount(), 1)
      assert.deepEqual(seen, names.map((name) => name.toLowerCase()))
    } finally {
      lowered.mock.restore()
    }
  })
})

describe('the names that are looked for in responses', () => {
  it('are in undici\'s tree, so that it need not make strings of them', () => {
    const names = ['x-pace-of-a-test', 'x-pace-of-a-test-2', 'x-pace']
    const seen = (): string[] =>
      names.map((name) => util.headerNameToString(Buffer.from(name.toUpperCase())))
    const lowered = mock.method(String.prototype, 'toLowerCase')
    try {
      assert.deepEqual(seen(), names)
      assert.equal(lowered.mock.callCount(), 3)
      assert.equal(addHeaderNames([], names), undefined)
      assert.deepEqual(seen(), names)
      assert.equal(lowered.mock.callCount(), 3)
    } finally {
      lowered.mock.restore()
    }
  })
})

describe('an undici with other insides', () => {
  const constants = { headerNameLowerCasedRecord: { 'Content-Type': 'content-type' } }
  const tree = { insert: (): void => {}, lookup: (key: Uint8Array): unknown =>
    Buffer.from(key).toString() === 'Content-Type' ? 'content-type' : null }
  const reasonWith = (modules: Record<string, unknown>): string | undefined =>
    addHeaderNames(['X-A'], ['x-b'], (path) => {
      const found = modules[path.split('/').at(-1) ?? '']
      if (found === undefined) throw new Error(`Cannot find module '${path}'`)
      return found
    })

  it('is named, and nothing else happens', () => {
    assert.match(reasonWith({}) ?? '', /Cannot find module .*constants\.js/)
    assert.match(reasonWith({ 'constants.js': {}, 'tree.js': { tree } }) ?? '', /undefined/)
    assert.match(reasonWith({ 'constants.js': constants, 'tree.js': {} }) ?? '', /undefined/)
    assert.equal(
      reasonWith({ 'constants.js': { headerNameLowerCasedRecord: {} }, 'tree.js': { tree } }),
      'its tables of header names do not have Content-Type')
    assert.equal(reasonWith({ 'constants.js': constants, 'tree.js': { tree } }),
      'its tree of header names does not take x-b')
  })
})

describe('a job id as text', () => {
  it('gives the worked value, all 24 digits of it', () => {
    assert.equal(formatJobId(0x1, 0x2, 0xabc), '000000010000000200000abc')
    assert.equal(formatJobId(0, 0, 0), '0'.repeat(24))
    assert.equal(formatJobId(0xffffffff, 0xffffffff, 0xffffffff), 'f'.repeat(24))
  })

  it('is read from the words of a slot', () => {
    const { jobs } = oneShard()
    const slot = 3 as JobSlot
    jobs.route[slot] = 0xdeadbeef
    jobs.idHigh[slot] = 5
    jobs.idLow[slot] = 0x80000000
    assert.equal(jobIdText(jobs, slot), 'deadbeef0000000580000000')
  })
})
