// Model: how much each holder has, in a plain array. Random takes and gives, by seed, of holders
// of which some are greedy; after each step the pool and the array must agree, and what the shares
// promise must hold. Beside it the counts by hash, which must never be below the model's.

import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import type { Micros } from '../../../../shards/base/units.ts'
import { HeldCounts } from '../../../../shards/memory/held-counts.ts'
import { Share } from '../../../../shards/memory/share.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_263)
const SEEDS = 100
const STEPS = 1000
const NOW = 0 as Micros

function eachSeed(run: (prng: Prng) => void): void {
  for (let seed = SEED; seed < SEED + SEEDS; seed++) {
    try {
      run(new Prng(seed))
    } catch (error) {
      assert.fail(`seed ${seed}: ${String(error)}`)
    }
  }
}

function poolOf(prng: Prng): Share {
  const bound = prng.between(8, 5000)
  return new Share({
    name: 'units', bound, alpha: prng.pick([0.25, 0.5, 1, 2, 8]),
    minimum: prng.below(4), reserve: prng.below(Math.ceil(bound / 4)),
  })
}

/** A step of one holder; says what must hold of it. */
function step(prng: Prng, pool: Share, held: number[], who: number): void {
  const mine = held[who] as number
  if (prng.chance(0.4) && mine > 0) {
    const amount = prng.between(1, mine)
    pool.give(amount)
    held[who] = mine - amount
    return
  }
  const amount = prng.between(1, prng.chance(0.8) ? 1 : 64)
  const { used, threshold } = pool
  const taken = pool.take(mine, amount, NOW)
  if (taken) held[who] = mine + amount
  const minimum = mine + amount <= pool.minimum
  const room = pool.bound - used - (minimum ? 0 : pool.reserve)
  // Neither more than the rule allows nor less: it conserves work up to the threshold.
  assert.equal(taken, amount <= room && (minimum || mine < threshold))
}

it('keeps its bound, and agrees with the model after each step', () => {
  eachSeed((prng) => {
    const pool = poolOf(prng)
    const held = Array.from({ length: prng.between(1, 40) }, () => 0)
    for (let i = 0; i < STEPS; i++) {
      step(prng, pool, held, prng.below(held.length))
      assert.ok(pool.used <= pool.bound)
      assert.equal(pool.used, held.reduce((sum, mine) => sum + mine, 0))
      assert.ok(pool.counts.peak >= pool.used)
    }
  })
})

it('gives n greedy holders alpha / (1 + n * alpha) each, in turns, and leaves room', () => {
  eachSeed((prng) => {
    const pool = poolOf(prng)
    const greedy = Array.from({ length: prng.between(1, 30) }, () => 0)
    for (let again = true; again;) {
      again = false
      for (const [who, mine] of greedy.entries()) {
        if (!pool.take(mine, 1, NOW)) continue
        greedy[who] = mine + 1
        again = true
      }
    }
    const shared = pool.bound - pool.reserve
    const each = (pool.alpha * shared) / (1 + greedy.length * pool.alpha)
    const most = Math.max(...greedy)
    assert.ok(most <= Math.max(each + 1, pool.minimum), `${most} of ${each}`)
    assert.ok(Math.min(...greedy) >= Math.floor(each) || pool.used > shared - 1)
  })
})

it('always has the minimum for as many newcomers as the reserve is for', () => {
  eachSeed((prng) => {
    const minimum = prng.between(1, 5)
    const newcomers = prng.between(1, 20)
    const reserve = minimum * newcomers
    const bound = reserve + prng.between(1, 3000)
    const pool = new Share({ name: 'units', bound, alpha: 8, minimum, reserve })
    // Holders who have their minimum already, and take whatever they can.
    const greedy = Array.from({ length: prng.between(1, 200) }, () => 0)
    for (const who of greedy.keys()) {
      if (pool.used + minimum > bound - reserve) break
      assert.ok(pool.take(0, minimum, NOW))
      greedy[who] = minimum
    }
    for (let i = 0; i < 2 * STEPS; i++) {
      const who = prng.below(greedy.length)
      const mine = greedy[who] as number
      const amount = prng.between(1, 9)
      if (mine >= minimum && pool.take(mine, amount, NOW)) greedy[who] = mine + amount
    }
    for (let who = 0; who < newcomers; who++) {
      for (let mine = 0; mine < minimum; mine++) assert.ok(pool.take(mine, 1, NOW))
    }
  })
})

it('counts by hash, never too low, and exactly again when all have left', () => {
  eachSeed((prng) => {
    const units = prng.between(16, 512)
    const counts = new HeldCounts(HeldCounts.make(units))
    const holders = Array.from({ length: 64 }, () => ({
      high: prng.uint32(), low: prng.uint32(), held: 0,
    }))
    for (let i = 0; i < STEPS; i++) {
      const holder = prng.pick(holders)
      if (holder.held > 0 && prng.chance(0.5)) {
        counts.drop(holder.high, holder.low, 1)
        holder.held--
      } else {
        counts.add(holder.high, holder.low, 1)
        holder.held++
      }
      assert.ok(counts.of(holder.high, holder.low) >= holder.held)
    }
    for (const { high, low, held } of holders) counts.drop(high, low, held)
    for (const { high, low } of holders) assert.equal(counts.of(high, low), 0)
  })
})
