// bench/RESULTS.md: every recorded run as a section of its own, at the end of the file.

import { appendFileSync, existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Figure, type ScenarioResult, formatValue } from '../figures.ts'
import type { RunFacts } from '../machine.ts'

/** Where runs are recorded. */
export const RESULTS_FILE = path.resolve(import.meta.dirname, '../../RESULTS.md')

const INTRODUCTION = `# Results

Each section is one run of \`sluice bench … --record\`, the newest last: when, which commit
(\`+\`: with changes), on what, what was typed, and the figures. Figures of different machines do
not compare.
`

/** Appends a run; makes the file if there is none. */
export function recordRun(
  facts: RunFacts, results: readonly ScenarioResult[], file = RESULTS_FILE,
): void {
  if (!existsSync(file)) writeFileSync(file, INTRODUCTION)
  appendFileSync(file, markdownSection(facts, results))
}

/** One run, with an empty line before it. */
export function markdownSection(facts: RunFacts, results: readonly ScenarioResult[]): string {
  const lines = [
    '', `## ${facts.date.slice(0, 16).replace('T', ' ')} UTC, ${facts.commit}`, '',
    `\`${facts.command}\``, '',
    `${facts.cpu}, ${facts.cores} cores, ${formatValue(facts.memoryBytes, 'B')}, ` +
      `Node ${facts.node}, ${facts.platform}`,
  ]
  for (const { scenario, title, ratios, figures, latencies, notes } of results) {
    lines.push('', `**${scenario}**: ${title}`, '', '| figure | value | runs |', '|---|---|---|')
    for (const figure of [...ratios, ...figures]) lines.push(tableRow(figure))
    for (const { label, summary } of latencies) {
      const [, , p99, p999] = summary.percentilesUs
      lines.push(`| ${label}, p99 and p99.9 | ${formatValue((p99 ?? 0) / 1000, 'ms')}, ` +
        `${formatValue((p999 ?? 0) / 1000, 'ms')} | |`)
    }
    if (notes.length > 0) lines.push('', ...notes.map((note) => `- ${note}`))
  }
  return `${lines.join('\n')}\n`
}

const tableRow = ({ label, value, unit, runs }: Figure): string =>
  `| ${label} | ${formatValue(value, unit)} | ` +
  `${(runs ?? []).map((run) => formatValue(run, unit)).join(', ')} |`
