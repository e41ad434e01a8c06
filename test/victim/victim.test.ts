// A victim that is due 50 sends a second has them, whatever an attacker does with a pool that both
// use; so has somebody who comes new. An attacker that holds a pool holds it in every window, and
// the victim has next to nothing: here it must have most of its sends in one of several windows,
// since whoever runs the suite may take the processor away. That it has 99 % of them, and no gap
// of 100 ms, is judged on a quiet machine: `npm run victim`.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { POOLS } from '../../src/base/pools.ts'
import { ATTACKS, UNATTACKED } from './attacks.ts'
import { lineOf, runAttack } from './run.ts'

test('every pool has an attacker, or a reason why it has none', () => {
  const attacked = new Set<string>(ATTACKS.map(({ pool }) => pool))
  for (const pool of Object.keys(POOLS)) {
    assert.notEqual(attacked.has(pool), pool in UNATTACKED, pool)
  }
  assert.equal(ATTACKS.filter(({ isInSuite }) => isInSuite === true).length, 6)
})

for (const attack of ATTACKS) {
  if (attack.isInSuite !== true) continue
  test(`${POOLS[attack.pool].name}: ${attack.what}`, async (t) => {
    const report = await runAttack(attack, {
      windowMs: 3000, windowsMax: 4, sendsShareMin: 0.9,
    })
    t.diagnostic(lineOf(attack, report))
    assert.ok(report.isAtBound, 'the attacker does not fill the pool')
    assert.equal(report.newcomer, undefined)
    assert.ok(report.isServed, lineOf(attack, report))
  })
}
