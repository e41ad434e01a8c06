// The end of a run: one table for all scenarios, and below it what was not kept.

import type { Outcome } from './scenario.ts'

const HEAD = ['scenario', 'rounds', 'accepted', 'sent', 'requests', 'repeated in flight',
  'repeated wrongly', 'lost', 'webhooks', 'webhooks repeated', 'promises broken', 'seconds']
/** Of each promise. */
const BREACHES_SHOWN_MAX = 8

/** Scenarios by name and what came of them, as a table of Markdown. */
export function tableOf(results: ReadonlyMap<string, Outcome>): string {
  const rows: string[][] = []
  for (const [scenario, { breachCount, figures, rounds, seconds }] of results) {
    rows.push([scenario, ...[
      rounds, figures.accepted, figures.sent, figures.executions, figures.repeated,
      figures.repeatedWrongly, figures.lost, figures.webhooks, figures.webhooksRepeated,
      breachCount, Math.round(seconds),
    ].map((value) => value.toLocaleString('en-US'))])
  }
  const widths = HEAD.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)))
  const line = (row: readonly string[]): string => `| ${row.map((cell, column) =>
    column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))
    .join(' | ')} |`
  const rule = `|${widths.map((width, column) =>
    column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`).join('|')}|`
  return [line(HEAD), rule, ...rows.map(line)].join('\n')
}

/** What there is to say about one scenario besides its row. */
export function remarksOn(scenario: string, result: Outcome): string[] {
  const { breachCount, breaches, figures, notes } = result
  const { answeredBeforeMsMax, cancelled, cancelsUndone, sentUnheld, setAside } = figures
  return [
    ...notes.map((note) => `${scenario}: ${note}`),
    `${scenario}: of what was repeated, the latest had been answered ` +
      `${answeredBeforeMsMax.toFixed(0)} ms before the end; ${cancelled} cancelled, ` +
      `${cancelsUndone} of them undone by an end; ${sentUnheld} sent and gone before they were ` +
      `answered; ${setAside} set aside as shard_crash`,
    ...[...Map.groupBy(breaches, ({ promise }) => promise)].flatMap(([promise, broken]) => [
      `${scenario}: BROKEN: ${promise} (${broken.length} times)`,
      ...broken.slice(0, BREACHES_SHOWN_MAX).map(({ text }) => `${scenario}:   ${text}`),
    ]),
    ...(breachCount > breaches.length
      ? [`${scenario}: BROKEN: ${breachCount - breaches.length} times besides`] : []),
  ]
}
