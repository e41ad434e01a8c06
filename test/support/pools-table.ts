// The table of pools, as in docs/ARCHITECTURE.md.

import type { Pool } from '../../shards/memory/pools.ts'
import { POOLS } from '../../src/base/pools.ts'

const HEAD = [
  '| pool | bound | share | at the bound |',
  '|---|---|---|---|',
]

const shareOf = (pool: Pool): string => {
  if ('noShares' in pool) return `none: ${pool.noShares}`
  if ('pushedOut' in pool) return `none: the ${pool.pushedOut} that holds most gives way`
  const kept = pool.kept === undefined ? '' : `; kept: ${pool.kept}`
  return `${pool.holder}, alpha ${pool.alpha}${kept}`
}

const row = (pool: Pool): string =>
  `| ${pool.name} | \`${pool.bound}\` | ${shareOf(pool)} | ${pool.atBound} |`

/** All lines of it. */
export const poolsTable = (): string => [...HEAD, ...Object.values(POOLS).map(row)].join('\n')
