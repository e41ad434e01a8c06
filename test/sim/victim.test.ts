// A victim that is entitled to 50 sends a second has them, whatever an attacker does with a pool:
// all pools, in virtual time. Without shares the victim must fail, or the test would be void.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Finished } from '../../shards/job/finished.ts'
import { Share } from '../../shards/memory/share.ts'
import { LogShares } from '../../shards/store/log-shares.ts'
import { POOLS } from '../../src/base/pools.ts'
import { SEED } from '../support/swarm.ts'
import { type Damage, type Method, testDamaged } from './saboteur.ts'
import './verify-on.ts'
import { SIM_ATTACKS, UNSIMULATED } from './victim-attacks.ts'
import { DOOR_ATTACKS, runDoorAttack } from './victim-door.ts'
import { type PoolName, runSimAttack } from './victim.ts'

test('every pool is attacked in the simulator, or there is a reason why it is not', () => {
  const attacked = [...SIM_ATTACKS, ...DOOR_ATTACKS].map(({ pool }) => pool)
  assert.equal(new Set(attacked).size, attacked.length)
  assert.deepEqual([...attacked, ...Object.keys(UNSIMULATED)].sort(), Object.keys(POOLS).sort())
})

for (const attack of SIM_ATTACKS) {
  test(`${POOLS[attack.pool].name}: ${attack.what}`, (t) => {
    t.diagnostic(JSON.stringify(runSimAttack(attack, SEED)))
  })
}

for (const attack of DOOR_ATTACKS) {
  test(`${POOLS[attack.pool].name}: ${attack.what}`, (t) => {
    t.diagnostic(JSON.stringify(runDoorAttack(attack)))
  })
}

/** No limit per holder. */
const NO_SHARES: Damage = {
  part: Share, method: 'refusal',
  damage: function (this: Share, _: never, amount: number) {
    return this.used + amount > this.bound ? 'bound' : undefined
  } as Method,
}

/** The damage for those attacks, and the checker that detects it. */
const DAMAGES: Partial<Record<PoolName, Damage>> = {
  connections: NO_SHARES, responseBytes: NO_SHARES, lanesByUpstream: NO_SHARES,
  lanesByUser: NO_SHARES, sharedLanes: NO_SHARES, clientMemory: NO_SHARES,
  upstreamSlots: NO_SHARES,
  logSpace: { part: LogShares, method: 'hasShare', damage: () => false },
  keptResults: { part: Finished, method: 'giveUpResult', damage: () => false },
}

for (const [pool, damage] of Object.entries(DAMAGES)) {
  testDamaged(`the victim objects when nobody gives way: ${POOLS[pool as PoolName].name}`, damage,
    () => assert.throws(() => {
      for (const attack of SIM_ATTACKS) if (attack.pool === pool) runSimAttack(attack, SEED)
      for (const attack of DOOR_ATTACKS) if (attack.pool === pool) runDoorAttack(attack)
    }, { checker: 'victim' }))
}
