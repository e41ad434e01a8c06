// What a host took away, from texts of /proc/stat as Linux writes them.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ScenarioResult } from '../../bench/load/figures.ts'
import { parseCoreTicks, readCoreTicks, withStolenTime } from '../../bench/load/stolen-time.ts'

const RESULT: ScenarioResult = {
  scenario: 'pace', title: 'A title', ratios: [], latencies: [], charts: [], notes: [],
  figures: [{ key: 'a_rate', label: 'a rate', value: 1, unit: '/s' }],
}
const BEFORE = { all: 1000, stolen: 10 }

describe('the host\'s share', () => {
  it('is the eighth number of all cores, of eight', () => {
    const stat = 'cpu  1 2 3 4 5 6 7 80 900 900\ncpu0 1 1 1 1 1 1 1 40 0 0\nintr 5\n'
    assert.deepEqual(parseCoreTicks(stat), { all: 108, stolen: 80 })
    assert.equal(parseCoreTicks('cpu0 1 2 3 4 5 6 7 8 9 10\n'), undefined)
    assert.equal(parseCoreTicks('cpu  1 2 3\n'), undefined)
    assert.equal(parseCoreTicks(''), undefined)
  })

  it('is the last figure, in percent of what all cores had meanwhile', () => {
    const { figures } = withStolenTime(RESULT, BEFORE, { all: 2000, stolen: 60 })
    assert.deepEqual(figures.map(({ key, value, unit }) => [key, value, unit]),
      [['a_rate', 1, '/s'], ['stolen', 5, '%']])
  })

  it('is left out where nothing is known of it, or no time has passed', () => {
    assert.equal(withStolenTime(RESULT, undefined, BEFORE), RESULT)
    assert.equal(withStolenTime(RESULT, BEFORE, undefined), RESULT)
    assert.equal(withStolenTime(RESULT, BEFORE, BEFORE), RESULT)
  })

  it('is known on Linux', { skip: process.platform !== 'linux' }, () => {
    const ticks = readCoreTicks()
    assert.ok(ticks !== undefined && ticks.all > ticks.stolen)
  })
})
