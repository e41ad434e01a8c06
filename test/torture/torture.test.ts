// The short form of `npm run torture`: a round or two of each scenario, and proof that the torture
// finds what is lost when nothing is written down.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { SEED } from '../support/swarm.ts'
import type { Outcome } from './scenario.ts'
import { SCENARIOS } from './scenarios.ts'
import { remarksOn } from './table.ts'

const ROUNDS: Readonly<Record<string, number>> =
  { 'kill-always': 1, 'kill-interval': 1, deaths: 2, reloads: 1, 'take-overs': 1 }
const KILLS_WITHOUT_JOURNAL = 1
/** Most of a run is waiting for paces and for processes that start. */
const AT_ONCE = 2

function run(scenario: string, rounds: number, t: TestContext): Promise<Outcome> {
  const found = SCENARIOS[scenario]
  assert.ok(found)
  return found.run({
    seed: SEED, rounds, port: undefined, shards: 2, keep: false,
    say: (line) => t.diagnostic(line),
  })
}

describe('torture', { concurrency: AT_ONCE }, () => {
  for (const [scenario, rounds] of Object.entries(ROUNDS)) {
    it(`${scenario}: every promise is kept over ${rounds} rounds`, async (t) => {
      const result = await run(scenario, rounds, t).catch((error: Error) =>
        assert.fail(`SLUICE_SEED=${SEED}: ${error.stack}`))
      assert.equal(result.breachCount, 0,
        `SLUICE_SEED=${SEED}\n${remarksOn(scenario, result).join('\n')}`)
      assert.ok(result.figures.sent > 20, `only ${result.figures.sent} jobs were sent`)
    })
  }

  it('kill-off: without a journal the torture finds what is lost', async (t) => {
    const { breachCount, breaches, figures } =
      await run('kill-off', KILLS_WITHOUT_JOURNAL, t)
    assert.ok(figures.lost > 0, `${breachCount} promises broken`)
    const promises = new Set(breaches.map(({ promise }) => promise))
    assert.ok(promises.has('accepted means sent'), [...promises].join('; '))
  })
})
