// How long a response asks to wait: in seconds, in milliseconds, until a date, and nonsense.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RETRY_AFTER_MS_MAX } from '../../../../shards/memory/limits.ts'
import type { ResponseHeaders } from '../../../../shards/signals/response.ts'
import { readWaitMs } from '../../../../shards/signals/retry-after.ts'

const nowMs = Date.UTC(1994, 10, 6, 8, 49, 34)
const wait = (headers: ResponseHeaders): number | undefined => readWaitMs(headers, nowMs)

const waitOf = (value: string | string[] | undefined): number | undefined =>
  wait(value === undefined ? {} : { 'retry-after': value })

describe('Retry-After', () => {

  it('reads seconds, whole and decimal', () => {
    assert.equal(waitOf('2'), 2000)
    assert.equal(waitOf(' 0.5 '), 500)
    assert.equal(waitOf('0'), 0)
  })

  it('reads the three forms of an HTTP-date', () => {
    for (const date of [
      'Sun, 06 Nov 1994 08:49:37 GMT', 'Sunday, 06-Nov-94 08:49:37 GMT', 'Sun Nov  6 08:49:37 1994',
    ]) {
      assert.equal(waitOf(date), 3000, date)
    }
  })

  it('waits for nothing when the date has gone by', () => {
    assert.equal(waitOf('Sun, 06 Nov 1994 08:49:00 GMT'), 0)
    const in2026Ms = Date.UTC(2026, 0, 1)
    assert.equal(readWaitMs({ 'retry-after': 'Sunday, 06-Nov-94 08:49:37 GMT' }, in2026Ms), 0)
  })

  it('never waits beyond the limit', () => {
    for (const value of ['999999999', '9'.repeat(400), 'Sun, 06 Nov 2094 08:49:37 GMT']) {
      assert.equal(waitOf(value), RETRY_AFTER_MS_MAX)
    }
  })

  it('ignores nonsense', () => {
    for (const value of [
      undefined, '', ' ', '-1', '+1', '1e3', 'soon', '5 apples', 'NaN', 'Infinity',
      'Sun, 06 Foo 1994 08:49:37 GMT', 'Sun, 06 anF 1994 08:49:37 GMT', '1,2',
      'Sun, 36 Nov 1994 08:49:37 GMT', 'Sun, 06 Nov 1994 25:49:37 GMT', '1994-11-06T08:49:37Z',
    ]) {
      assert.equal(waitOf(value), undefined, value)
    }
  })

  it('counts the first of several values', () => {
    assert.equal(waitOf(['3', '9']), 3000)
    assert.equal(waitOf([]), undefined)
  })
})

describe('a date', () => {
  const retryAfter = 'Sun, 06 Nov 1994 08:49:37 GMT'

  it('is compared with the response\'s own, since clocks differ', () => {
    for (const [date, expected] of [
      ['Sun, 06 Nov 1994 08:49:36 GMT', 1000], ['Sun, 06 Nov 1994 07:49:37 GMT', 3_600_000],
      ['Sun, 06 Nov 1994 08:49:38 GMT', 0], ['Sunday, 06-Nov-94 08:49:35 GMT', 2000],
    ] as const) {
      assert.equal(wait({ 'retry-after': retryAfter, date }), expected, date)
    }
  })

  it('is compared with the clock where the response has none that can be read', () => {
    for (const date of ['', 'now', '784111776', '06 Nov 1994']) {
      assert.equal(wait({ 'retry-after': retryAfter, date }), 3000, date)
    }
  })
})

describe('retry-after-ms', () => {
  it('is read before Retry-After', () => {
    assert.equal(wait({ 'retry-after-ms': '250' }), 250)
    assert.equal(wait({ 'retry-after-ms': ' 12.5 ', 'retry-after': '60' }), 12.5)
    assert.equal(wait({ 'retry-after-ms': '0', 'retry-after': '60' }), 0)
    assert.equal(wait({ 'retry-after-ms': ['7', '8'] }), 7)
    assert.equal(wait({ 'retry-after-ms': '9'.repeat(30) }), RETRY_AFTER_MS_MAX)
  })

  it('that is nonsense leaves it to Retry-After', () => {
    for (const value of ['', '-1', '1s', 'NaN', '1e9', '1,2']) {
      assert.equal(wait({ 'retry-after-ms': value, 'retry-after': '2' }), 2000, value)
      assert.equal(wait({ 'retry-after-ms': value }), undefined, value)
    }
  })
})
