// The delays between attempts: the worked values of the comments, the spread of the jitter, and
// the count of retries.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import {
  mayRetry, retryCeilingMs, retryDelayMs, webhookRetryDelayMs,
} from '../../../../shards/job/retry.ts'
import { RETRY_CAP_MS } from '../../../../shards/memory/limits.ts'

/** A generator that always draws the same number. */
class ConstantPrng extends Prng {
  readonly #value: number

  constructor(value: number) {
    super(0)
    this.#value = value
  }

  override unit(): number {
    return this.#value
  }
}

describe('retryCeilingMs', () => {
  it('doubles from one second up to a minute', () => {
    const ceilings = [1, 2, 3, 4, 5, 6, 7, 8].map(retryCeilingMs)
    assert.deepEqual(ceilings, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
  })

  it('stays at the cap for any number of attempts', () => {
    for (const attempts of [31, 32, 33, 1024, 2000, 2 ** 32]) {
      assert.equal(retryCeilingMs(attempts), RETRY_CAP_MS)
    }
  })

  it('is not asked for before the first attempt', () => {
    assert.throws(() => retryCeilingMs(0), /before the first attempt/)
  })
})

describe('retryDelayMs', () => {
  it('gives the worked values', () => {
    const half = new ConstantPrng(0.5)
    assert.equal(retryDelayMs(1, undefined, half), 500)
    assert.equal(retryDelayMs(4, undefined, half), 4000)
    assert.equal(retryDelayMs(7, undefined, half), 30_000)
    assert.equal(retryDelayMs(4, 10_000, half), 10_000)
  })

  it('takes Retry-After as a floor and not as an answer', () => {
    const half = new ConstantPrng(0.5)
    assert.equal(retryDelayMs(4, 100, half), 4000)
    assert.equal(retryDelayMs(1, 3_600_000, half), 3_600_000)
  })

  it('spreads evenly from nothing to below the ceiling', () => {
    const seed = Number(process.env['SLUICE_SEED'] ?? 20_261)
    const prng = new Prng(seed)
    for (const attempts of [1, 3, 7, 100]) {
      const ceilingMs = retryCeilingMs(attempts)
      const quarters = [0, 0, 0, 0]
      for (let draw = 0; draw < 4000; draw++) {
        const delayMs = retryDelayMs(attempts, undefined, prng)
        assert.ok(delayMs >= 0 && delayMs < ceilingMs, `seed ${seed}: ${delayMs} of ${ceilingMs}`)
        const quarter = Math.floor((delayMs / ceilingMs) * 4)
        quarters[quarter] = (quarters[quarter] ?? 0) + 1
      }
      // 1000 are expected in each, with a deviation of 27.
      for (const count of quarters) {
        assert.ok(count > 830 && count < 1170, `seed ${seed}: ${quarters}`)
      }
    }
  })
})

describe('webhookRetryDelayMs', () => {
  it('is 1, 2, 4, 8 s and then over', () => {
    assert.deepEqual([1, 2, 3, 4].map(webhookRetryDelayMs), [1000, 2000, 4000, 8000])
    assert.throws(() => webhookRetryDelayMs(5), /more often/)
  })
})

describe('mayRetry', () => {
  it('counts retries, not attempts', () => {
    assert.equal(mayRetry(1, 0), false)
    assert.equal(mayRetry(1, 1), true)
    assert.equal(mayRetry(4, 4), true)
    assert.equal(mayRetry(5, 4), false)
  })

  it('knows no end when there is no limit', () => {
    assert.equal(mayRetry(1000, -1), true)
  })
})
