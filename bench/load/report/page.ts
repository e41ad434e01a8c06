// The report as one self-contained HTML page: figures, and charts drawn by uPlot, whose minified
// file is included in the page.

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { type Figure, type ScenarioResult, formatValue } from '../figures.ts'
import { PERCENTILES } from '../latency.ts'
import { type RunFacts, coreNotes } from '../machine.ts'

const require = createRequire(import.meta.url)
const besideThis = (name: string): string =>
  readFileSync(path.join(import.meta.dirname, name), 'utf8')
const fromPackage = (name: string): string => readFileSync(require.resolve(name), 'utf8')

/** The complete page. */
export function htmlReport(facts: RunFacts, results: readonly ScenarioResult[]): string {
  // A script element ends at its end tag, even inside a string.
  const data = JSON.stringify(results.map(({ charts, latencies }) => ({ charts, latencies })))
    .replaceAll('<', '\\u003c')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>sluice bench ${escape(facts.date.slice(0, 10))}</title>
<style>${fromPackage('uplot/dist/uPlot.min.css')}</style>
<style>${besideThis('page.css')}</style>
</head>
<body>
<header>
<h1>sluice bench</h1>
<p><code>${escape(facts.command)}</code></p>
<p class="facts">${escape(factsLine(facts))}</p>
${coreNotes(facts).map((note) => `<p class="note">${escape(note)}</p>`).join('\n')}
</header>
${results.map(section).join('\n')}
<script type="application/json" id="data">${data}</script>
<script>${fromPackage('uplot/dist/uPlot.iife.min.js')}</script>
<script>${besideThis('page.js')}</script>
</body>
</html>
`
}

function factsLine(facts: RunFacts): string {
  return [
    `${facts.version} (${facts.commit})`, facts.date, facts.cpu, `${facts.cores} cores`,
    formatValue(facts.memoryBytes, 'B'), `Node ${facts.node}`, facts.platform,
  ].join(' · ')
}

function section(result: ScenarioResult, index: number): string {
  return `<section>
<h2>${escape(result.scenario)}</h2>
<p>${escape(result.title)}</p>
<div class="ratios">${result.ratios.map(tile).join('')}</div>
<table class="figures">${result.figures.map(figureRow).join('')}</table>
${latencyTable(result)}
<div class="charts" data-result="${index}"></div>
${result.notes.map((note) => `<p class="note">${escape(note)}</p>`).join('\n')}
</section>`
}

const tile = ({ label, value, unit }: Figure): string =>
  `<div class="tile"><strong>${escape(formatValue(value, unit))}</strong>` +
  `<span>${escape(label)}</span></div>`

function figureRow({ label, value, unit, runs }: Figure): string {
  const all = (runs ?? []).length < 2 ? ''
    : `of ${(runs ?? []).map((run) => formatValue(run, unit)).join(', ')}`
  return `<tr><th>${escape(label)}</th>` +
    `<td class="number">${escape(formatValue(value, unit))}</td>` +
    `<td class="runs">${escape(all)}</td></tr>`
}

function latencyTable({ latencies }: ScenarioResult): string {
  if (latencies.length === 0) return ''
  const heads = PERCENTILES.map((percentile) =>
    `<th>${percentile === 100 ? 'max' : `p${percentile}`}</th>`).join('')
  const rows = latencies.map(({ label, summary }) => `<tr><th>${escape(label)}</th>` +
    summary.percentilesUs.map((us) =>
      `<td class="number">${escape(formatValue(us / 1000, 'ms'))}</td>`).join('') + '</tr>')
  return `<table class="latency"><tr><th>latency</th>${heads}</tr>${rows.join('')}</table>`
}

const ENTITIES: Readonly<Record<string, string>> =
  { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', '\'': '&#39;' }

const escape = (text: string): string =>
  text.replaceAll(/[&<>"']/g, (char) => ENTITIES[char] ?? char)
