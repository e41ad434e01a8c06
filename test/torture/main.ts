// npm run torture -- [--seed N] [--rounds N] [--only kill-always|kill-interval|deaths|…]
// [--port N] [--shards N] [--keep]: real servers under real load, killed, again and again. Ends
// with a table, and with exit code 1 if a promise was broken.

import { Tool } from '../support/tool-options.ts'
import type { Outcome } from './scenario.ts'
import { SCENARIOS } from './scenarios.ts'
import { remarksOn, tableOf } from './table.ts'

const EXIT_INTERRUPTED = 130

const tool = new Tool(`npm run torture -- [--seed N] [--rounds N] [--only NAME,…] [--port N]
  [--shards N] [--keep]

Real servers under real load, killed again and again; fails when a promise was broken.
Names: ${Object.keys(SCENARIOS).join(', ')}.`)
const { values } = tool.read({
  seed: { type: 'string' },
  rounds: { type: 'string' },
  only: { type: 'string', multiple: true },
  port: { type: 'string' },
  shards: { type: 'string', default: '2' },
  keep: { type: 'boolean', default: false },
})
const seed = countOf('seed', values.seed) ?? Date.now() % 2 ** 31
const rounds = countOf('rounds', values.rounds)
const port = countOf('port', values.port)
const shards = countOf('shards', values.shards) ?? 1
const names = values.only?.flatMap((only) => only.split(',')) ??
  Object.keys(SCENARIOS).filter((name) => SCENARIOS[name]?.onlyByName !== true)
for (const name of names) {
  if (!Object.hasOwn(SCENARIOS, name)) tool.refuse(`there is no scenario '${name}'`)
}

// Ends at once; the servers' processes end with this one.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => process.exit(EXIT_INTERRUPTED))
}

console.log(`seed ${seed}`)
const results = new Map<string, Outcome>()
let failed = false
for (const name of names) {
  const scenario = SCENARIOS[name]
  if (scenario === undefined) continue
  try {
    results.set(name, await scenario.run({
      seed, port, shards, keep: values.keep, rounds: rounds ?? scenario.rounds,
      say: (line) => console.log(`${name}: ${line}`),
    }))
  } catch (error) {
    failed = true
    console.error(`${name}: ${error instanceof Error ? error.stack : String(error)}`)
  }
}
for (const [name, result] of results) {
  for (const remark of remarksOn(name, result)) console.log(remark)
}
console.log(`\n${tableOf(results)}\n`)
if (failed || [...results.values()].some(({ breachCount }) => breachCount > 0)) {
  console.error(`a promise was broken, or a run did not end; repeat with --seed ${seed}`)
  process.exitCode = 1
}

function countOf(name: string, text: string | undefined): number | undefined {
  return text === undefined ? undefined : tool.count(`--${name}`, text)
}
