// What is read from an upstream's headers: precedence, limits, and every value that is no good.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  CONCURRENT_MAX, PACE_PER_SECOND_MAX, PACE_PER_SECOND_MIN,
} from '../../../../shards/memory/limits.ts'
import {
  ACCOUNT_QUEUE_HEADERS, CONCURRENT_HEADERS, IGNORED_VALUE_LENGTH_MAX, PACE_HEADERS,
  readAccountQueue, readPaceHeaders,
} from '../../../../shards/signals/pace-headers.ts'

describe('readPaceHeaders', () => {
  it('says nothing when none of the nine names is present', () => {
    assert.equal(readPaceHeaders({}), undefined)
    assert.equal(readPaceHeaders({ 'content-type': 'text/plain', 'x-rps': '3' }), undefined)
  })

  it('reads each of the nine names', () => {
    for (const name of PACE_HEADERS) {
      assert.deepEqual(readPaceHeaders({ [name]: '2.5' }), { pacePerSecond: 2.5, ignored: [] })
    }
    for (const name of CONCURRENT_HEADERS) {
      assert.deepEqual(readPaceHeaders({ [name]: '7' }), { concurrentMax: 7, ignored: [] })
    }
    for (const name of ACCOUNT_QUEUE_HEADERS) {
      assert.deepEqual(readPaceHeaders({ [name]: 'Enabled' }), { accountQueues: true, ignored: [] })
    }
  })

  it('takes the first name present, in the order of precedence and not of arrival', () => {
    const headers = {
      'x-aquifer-rps': '3', 'x-ezthrottle-rps': '2', 'x-aqueduct-rps': '1',
      'x-aquifer-max-concurrent': '30', 'x-ezthrottle-max-concurrent': '20',
      'x-aquifer-account-queue': 'enabled', 'x-ezthrottle-account-queue': 'disabled',
    }
    assert.deepEqual(readPaceHeaders(headers), {
      pacePerSecond: 1, concurrentMax: 20, accountQueues: false, ignored: [],
    })
  })

  it('ignores and reports a bad first value, without falling back to the next name', () => {
    assert.deepEqual(readPaceHeaders({ 'x-aqueduct-rps': 'fast', 'x-aquifer-rps': '3' }), {
      ignored: [{ name: 'x-aqueduct-rps', value: 'fast' }],
    })
  })

  it('takes paces at the limits and with spaces around', () => {
    const paces: [string, number][] = [
      [`${PACE_PER_SECOND_MIN}`, PACE_PER_SECOND_MIN],
      [`${PACE_PER_SECOND_MAX}`, PACE_PER_SECOND_MAX],
      [' 2 ', 2], ['\t3.25', 3.25], ['007', 7], ['0.50', 0.5],
    ]
    for (const [text, pace] of paces) {
      assert.equal(readPaceHeaders({ 'x-aqueduct-rps': text })?.pacePerSecond, pace, text)
    }
  })

  it('ignores a pace that is malformed, too low, negative or absurd', () => {
    const bad = [
      'NaN', '-1', '1e99', '1e1', '', ' ', '0', '0.4', '0.4999', '1000000.5', '1000001', 'Infinity',
      '0x10', '+2', '2,3', '2, 2, 2.5', '2,', ',2', '2;2', '.5', '5.', '1 2',
      '2rps', '１', '9'.repeat(400),
    ]
    for (const value of bad) {
      assert.deepEqual(readPaceHeaders({ 'x-aqueduct-rps': value }), {
        ignored: [{ name: 'x-aqueduct-rps', value: value.slice(0, IGNORED_VALUE_LENGTH_MAX) }],
      }, value)
    }
    assert.deepEqual(readPaceHeaders({ 'x-aqueduct-rps': ['2', '3'] }), {
      ignored: [{ name: 'x-aqueduct-rps', value: '2,3' }],
    })
  })

  it('takes what is given several times alike once', () => {
    for (const value of ['5, 5', '5,5.0 ,\t05', ['5', '5'], ['5, 5', '5.00']]) {
      assert.deepEqual(readPaceHeaders({ 'x-aqueduct-rps': value }),
        { pacePerSecond: 5, ignored: [] })
    }
    assert.deepEqual(readPaceHeaders({ 'x-aqueduct-max-concurrent': '7, 7' }),
      { concurrentMax: 7, ignored: [] })
    assert.deepEqual(readPaceHeaders({ 'x-aquifer-account-queue': ['enabled', 'Enabled'] }),
      { accountQueues: true, ignored: [] })
    for (const value of [['enabled', 'disabled'], ['enabled', ''], []]) {
      assert.deepEqual(readPaceHeaders({ 'x-aquifer-account-queue': value }),
        { ignored: [{ name: 'x-aquifer-account-queue', value: String(value) }] })
    }
  })

  it('takes a positive integer as concurrency, and nothing else', () => {
    for (const [text, count] of [['1', 1], [' 20 ', 20], [`${CONCURRENT_MAX}`, CONCURRENT_MAX]]) {
      const update = readPaceHeaders({ 'x-aqueduct-max-concurrent': String(text) })
      assert.equal(update?.concurrentMax, count)
    }
    for (const value of ['0', '-1', '1.5', `${CONCURRENT_MAX + 1}`, 'many', '', '1e3', '3,4']) {
      const update = readPaceHeaders({ 'x-aqueduct-max-concurrent': value })
      assert.deepEqual(update, { ignored: [{ name: 'x-aqueduct-max-concurrent', value }] })
    }
  })

  it('keeps what is good beside what is not', () => {
    assert.deepEqual(
      readPaceHeaders({
        'x-aqueduct-rps': '50', 'x-aqueduct-max-concurrent': '0', 'x-aquifer-account-queue': 'on',
      }),
      {
        pacePerSecond: 50,
        ignored: [
          { name: 'x-aqueduct-max-concurrent', value: '0' },
          { name: 'x-aquifer-account-queue', value: 'on' },
        ],
      })
  })
})

describe('readAccountQueue', () => {
  it('knows two words, in any case', () => {
    assert.equal(readAccountQueue('enabled'), true)
    assert.equal(readAccountQueue(' ENABLED\t'), true)
    assert.equal(readAccountQueue('Disabled'), false)
    for (const value of ['', 'true', '1', 'enable', 'enabled, disabled']) {
      assert.equal(readAccountQueue(value), undefined, value)
    }
  })
})
