// npm run victim -- [--pool NAME] [--seconds N] [--gap MS]: each attacker beside a victim that is
// due 50 sends a second. Exit code 1 when the victim or a newcomer is not served, or when a gap
// between two sends is longer than MS and than twice the longest without an attacker.

import { POOLS } from '../../src/base/pools.ts'
import { Tool } from '../support/tool-options.ts'
import { ATTACKS } from './attacks.ts'
import { lineOf, runAttack } from './run.ts'

const SENDS_SHARE_MIN = 0.99

const tool = new Tool(`npm run victim -- [--pool NAME] [--seconds N] [--gap MS]

Real servers: each attacker for N seconds (10) beside a victim that is due 50 sends a second. Fails
when the victim or a newcomer is not served, or a gap between two sends is longer than MS (100) and
than twice the longest without an attacker. Pools: ${Object.keys(POOLS).join(', ')}.`)
const { values } = tool.read({
  pool: { type: 'string' }, seconds: { type: 'string', default: '10' },
  gap: { type: 'string', default: '100' },
})
const seconds = Number(values.seconds)
const gapMs = Number(values.gap)
if (!(seconds > 0 && gapMs > 0)) tool.refuse('--seconds and --gap take numbers above 0')
if (values.pool !== undefined && !Object.hasOwn(POOLS, values.pool)) {
  tool.refuse(`there is no pool '${values.pool}'`)
}
for (const attack of ATTACKS) {
  if (values.pool !== undefined && attack.pool !== values.pool) continue
  const report = await runAttack(attack, {
    windowMs: 1000 * seconds, windowsMax: 1, sendsShareMin: SENDS_SHARE_MIN,
  })
  console.log(lineOf(attack, report))
  const { before, during, isAtBound, isServed, newcomer } = report
  const isLong = during.longestGapMs > Math.max(gapMs, 2 * before.longestGapMs)
  if (!isAtBound || !isServed || newcomer !== undefined || isLong) process.exitCode = 1
}
process.exit()
