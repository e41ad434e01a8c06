// Sizes, durations and switches as people write them, and back again.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  formatBytes, formatDurationMs, formatSize, parseBytes, parseDecimal, parseDurationMs, parseSwitch,
} from '../../../../src/base/quantities.ts'

describe('quantities', () => {
  it('reads sizes in binary units', () => {
    assert.equal(parseBytes('512MiB'), 536870912)
    assert.equal(parseBytes('1.5g'), 1610612736)
    assert.equal(parseBytes('4096'), 4096)
    assert.equal(parseBytes(' 2 GiB '), 2 ** 31)
    for (const bad of ['', '12 apples', '-1k', '1e9', '1.5.1k', '9'.repeat(40), 'constructor']) {
      assert.equal(parseBytes(bad), undefined, bad)
    }
  })

  it('reads durations, whose unit is required', () => {
    assert.equal(parseDurationMs('500ms'), 500)
    assert.equal(parseDurationMs('30s'), 30_000)
    assert.equal(parseDurationMs('1.5h'), 5_400_000)
    assert.equal(parseDurationMs('0'), 0)
    assert.equal(parseDurationMs('1h30m'), 5_400_000)
    assert.equal(parseDurationMs(' 1d 2h 3min 4s 5ms '), 93_784_005)
    assert.equal(parseDurationMs('1.1h'), 3_960_000)
    for (const bad of ['30', '', 's', '-1s', '1 year', '1M', '1H', '5S', '30m1h', '1m1m', '1h30',
      '0.4ms', '1h-30m', '9e9d', '1constructor']) {
      assert.equal(parseDurationMs(bad), undefined, bad)
    }
  })

  it('reads switches and decimals', () => {
    assert.equal(parseSwitch('on'), true)
    assert.equal(parseSwitch('FALSE'), false)
    assert.equal(parseSwitch('perhaps'), undefined)
    assert.equal(parseSwitch('toString'), undefined)
    assert.equal(parseDecimal('0.5'), 0.5)
    assert.equal(parseDecimal('1e6'), 1_000_000)
    for (const bad of ['0x10', '', 'NaN', 'Infinity', '1e999', '1,5']) {
      assert.equal(parseDecimal(bad), undefined, bad)
    }
  })

  it('writes what it reads', () => {
    assert.equal(formatBytes(536870912), '512 MiB')
    assert.equal(formatBytes(1610612736), '1.5 GiB')
    assert.equal(formatBytes(100), '100 B')
    for (const [bytes, text] of [[536870912, '512MiB'], [1610612736, '1536MiB'], [100, '100'],
      [2 ** 41, '2TiB'], [123_456_789, '123456789'], [0, '0']] as const) {
      assert.equal(formatSize(bytes), text)
      assert.equal(parseBytes(text), bytes)
    }
    assert.equal(formatDurationMs(30_000), '30s')
    assert.equal(formatDurationMs(1_800_000), '30m')
    assert.equal(formatDurationMs(1500), '1500ms')
    assert.equal(formatDurationMs(0), '0')
  })
})
