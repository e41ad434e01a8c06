// bench/RESULTS.md: the newest record of each scenario on each machine, each in its own section.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Figure, type ScenarioResult, formatValue } from '../figures.ts'
import type { RunFacts } from '../machine.ts'

/** Where runs are recorded. */
export const RESULTS_FILE = path.resolve(import.meta.dirname, '../../RESULTS.md')

const INTRODUCTION = `# Results

Each section is the newest record of a scenario on a machine, written by
\`sluice bench … --record\`: date, commit (\`+\`: with changes), command, machine and figures.
The newest section is the last. Older records are in the history of this file. Do not compare
figures of different machines.
`

/** Writes each result as a section; it replaces the older record of its scenario and machine. */
export function recordRun(
  facts: RunFacts, results: readonly ScenarioResult[], file = RESULTS_FILE,
): void {
  const recorded = existsSync(file) ? readFileSync(file, 'utf8').split(/\n(?=## )/).slice(1) : []
  const kept = recorded.filter((section) =>
    !results.some((result) => isOf(section, facts, result)))
  const added = results.map((result) => markdownSection(facts, result))
  writeFileSync(file, [INTRODUCTION, ...kept, ...added].join('\n'))
}

/** Whether a section records the same scenario, by name and title, on the same machine. */
const isOf = (section: string, facts: RunFacts, result: ScenarioResult): boolean =>
  section.includes(`\n${machineLine(facts)}, `) && section.includes(`\n${titleLine(result)}\n`)

/** The machine, without details that an update changes. */
const machineLine = ({ cpu, cores, memoryBytes }: RunFacts): string =>
  `${cpu}, ${cores} cores, ${formatValue(memoryBytes, 'B')}`

const titleLine = ({ scenario, title }: ScenarioResult): string => `**${scenario}**: ${title}`

function markdownSection(facts: RunFacts, result: ScenarioResult): string {
  const { ratios, figures, latencies, notes } = result
  const lines = [
    `## ${facts.date.slice(0, 16).replace('T', ' ')} UTC, ${facts.commit}`, '',
    `\`${facts.command}\``, '',
    `${machineLine(facts)}, Node ${facts.node}, ${facts.platform}`, '',
    titleLine(result), '', '| figure | value | runs |', '|---|---|---|',
    ...[...ratios, ...figures].map(tableRow),
  ]
  for (const { label, summary } of latencies) {
    const [, , p99, p999] = summary.percentilesUs
    lines.push(`| ${label}, p99 and p99.9 | ${formatValue((p99 ?? 0) / 1000, 'ms')}, ` +
      `${formatValue((p999 ?? 0) / 1000, 'ms')} | |`)
  }
  if (notes.length > 0) lines.push('', ...notes.map((note) => `- ${note}`))
  return `${lines.join('\n')}\n`
}

const tableRow = ({ label, value, unit, runs }: Figure): string =>
  `| ${label} | ${formatValue(value, unit)} | ` +
  `${(runs ?? []).map((run) => formatValue(run, unit)).join(', ')} |`
