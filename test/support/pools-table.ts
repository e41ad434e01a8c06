// The table of pools as docs/ARCHITECTURE.md has it.

import { type Pool, POOLS } from '../../shards/pools.ts'

const HEAD = [
  '| pool | bound | share | at the bound |',
  '|---|---|---|---|',
]

const row = (pool: Pool): string => {
  const share = 'noShares' in pool
    ? `none: ${pool.noShares}`
    : `${pool.holder}, alpha ${pool.alpha}${pool.kept === undefined ? '' : `; kept: ${pool.kept}`}`
  return `| ${pool.name} | \`${pool.bound}\` | ${share} | ${pool.atBound} |`
}

/** All of its lines. */
export const poolsTable = (): string => [...HEAD, ...Object.values(POOLS).map(row)].join('\n')
