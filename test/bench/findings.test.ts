// The arithmetic behind the figures: pace, time lines, medians, shares, and how values are written.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { formatValue, jainIndex, median, pairedRatio } from '../../bench/load/figures.ts'
import { LatencyRecorder, summarizeLatency } from '../../bench/load/latency.ts'
import { checkPace } from '../../bench/load/pace-check.ts'
import { SendNotes } from '../../bench/load/send-notes.ts'
import {
  CountTimeline, ratesOverTime, reachedAtUs, steadyRate,
} from '../../bench/load/timeline.ts'

/** Notes of one account's sends. */
function notesOf(timesUs: readonly number[], account = 0): SendNotes {
  const notes = new SendNotes()
  for (const timeUs of timesUs) notes.add(timeUs, account)
  return notes
}

const SHARED = { rps: 100, perAccount: false }

describe('checkPace', () => {
  it('finds nothing wrong with sends on the grid, or up to 5 ms early', () => {
    const grid = Array.from({ length: 101 }, (_send, index) => index * 10_000)
    const findings = checkPace(notesOf(grid), SHARED, 0)
    assert.equal(findings.violations, 0)
    assert.equal(findings.rateErrorMax, 0)
    assert.equal(findings.worstWindowUs, -5000)
    assert.equal(findings.seconds, 1)
    const second = checkPace(notesOf([...grid, 1_009_000, 1_019_000]), SHARED, 0)
    assert.deepEqual(second.overTime, [[1, 100]])
    const early = checkPace(notesOf([0, 5000, 15_000]), SHARED, 0)
    assert.equal(early.violations, 0)
    assert.equal(early.worstWindowUs, 0)
    assert.deepEqual(summarizeLatency([early.waiting]).percentilesUs, [0, 0, 0, 0, 0])
  })

  it('counts windows that are too short, also across several sends', () => {
    assert.equal(checkPace(notesOf([0, 4999]), SHARED, 0).violations, 1)
    // Each is 4 ms early, against the one before; the third is 8 ms early against the first.
    const findings = checkPace(notesOf([0, 6000, 12_000]), SHARED, 0)
    assert.equal(findings.violations, 1)
    assert.equal(findings.worstWindowUs, 3000)
    assert.equal(checkPace(notesOf([0, 6000, 12_000]), SHARED, 4000).unexplained, 0)
  })

  it('measures lateness against the grid, which a late send starts anew', () => {
    const findings = checkPace(notesOf([0, 13_000, 23_000]), SHARED, 0)
    const { percentilesUs } = summarizeLatency([findings.lateness])
    assert.ok(Math.abs((percentilesUs.at(-1) ?? 0) - 3000) <= 3, 'three digits')
    assert.ok(Math.abs(findings.rateErrorMax - (1 - 20 / 23)) < 1e-9)
  })

  it('goes by account where each has a pace of its own', () => {
    const notes = notesOf([0, 10_000, 20_000], 1)
    for (const timeUs of [20_000, 20_100]) notes.add(timeUs, 2)
    const findings = checkPace(notes, { rps: 100, perAccount: true }, 0)
    assert.equal(findings.budgets, 2)
    assert.equal(findings.violations, 1)
    assert.equal(checkPace(notes, SHARED, 0).violations, 2)
  })

  it('has nothing to say about no sends', () => {
    const findings = checkPace(new SendNotes(), SHARED, 0)
    assert.equal(findings.sends, 0)
    assert.deepEqual(findings.overTime, [])
  })

  it('notes more sends than it has places at first', () => {
    const notes = notesOf(Array.from({ length: 40_000 }, (_send, index) => index * 10_000))
    assert.equal(notes.count, 40_000)
    assert.equal(checkPace(notes, SHARED, 0).rateErrorMax, 0)
  })
})

describe('CountTimeline', () => {
  it('keeps the first, the expected, and a bounded number of points between', () => {
    const timeline = new CountTimeline(100)
    let clock = 0
    for (let count = 1; count <= 100_000; count++) timeline.add(() => count * 10)
    const points = timeline.points()
    assert.ok(points.length <= 4096 && points.length > 500, `${points.length} points`)
    assert.deepEqual(points[0], { atUs: 10, count: 1 })
    assert.ok(points.some(({ count }) => count === 100))
    for (const { atUs, count } of points) {
      assert.equal(atUs, count * 10)
      assert.ok(atUs > clock)
      clock = atUs
    }
    assert.equal(Math.round(steadyRate(points, 100_000 - 1700)), 100_000)
    assert.equal(reachedAtUs(points, 1_000_000), Number.NaN)
  })

  it('makes rates of equal spans', () => {
    const points = [{ atUs: 0, count: 1 }, { atUs: 500_000, count: 11 },
      { atUs: 1_000_000, count: 31 }]
    assert.equal(reachedAtUs(points, 21), 750_000)
    assert.deepEqual(ratesOverTime(points, 0, 2), [[0.5, 22], [1, 40]])
    assert.deepEqual(ratesOverTime([], 0, 2), [])
  })
})

describe('LatencyRecorder', () => {
  it('adds up to the same percentiles and bars wherever it was recorded', () => {
    const [left, right] = [new LatencyRecorder(), new LatencyRecorder()]
    for (let us = 1; us <= 1000; us++) (us % 2 === 0 ? left : right).record(us)
    const summary = summarizeLatency([left.encode(), right.encode()])
    assert.equal(summary.count, 1000)
    assert.deepEqual(summary.percentilesUs.map((us) => Math.round(us / 10)), [50, 90, 99, 100, 100])
    assert.deepEqual(summary.buckets.map(({ toUs, count }) => [toUs, count]), [
      [1, 1], [2, 1], [5, 3], [10, 5], [20, 10], [50, 30], [100, 50], [200, 100], [500, 300],
      [1000, 500],
    ])
    assert.equal(summarizeLatency([]).count, 0)
  })
})

describe('figures', () => {
  it('takes the middle of the runs', () => {
    assert.equal(median([3, 1, 2]), 2)
    assert.equal(median([4, 1, 2, 3]), 2.5)
    assert.equal(median([]), Number.NaN)
  })

  it('holds each run against the baseline of its own alternation', () => {
    const ratio = pairedRatio('a_ratio', 'this ÷ that', [10, 50, 60], [20, 50, 120])
    assert.deepEqual(ratio.runs, [0.5, 1, 0.5])
    assert.equal(ratio.value, 0.5, 'not 50 ÷ 50, the medians of the sides')
    assert.equal(pairedRatio('a_ratio', 'this ÷ that', [1], []).value, Number.NaN)
  })

  it('weighs shares', () => {
    assert.equal(jainIndex([5, 5]), 1)
    assert.equal(jainIndex([1, 0]), 0.5)
    assert.equal(jainIndex([3, 1]), 0.8)
  })

  it('writes values with their units', () => {
    assert.equal(formatValue(0.8125, 'ratio'), '0.813')
    assert.equal(formatValue(71_234, '/s'), '71,234 /s')
    assert.equal(formatValue(10_240, 'B'), '10.00 KiB')
    assert.equal(formatValue(416.4, 'B'), '416 B')
    assert.equal(formatValue(Number.NaN, 'ms'), 'n/a')
  })
})
