// The bench's page of a made-up run in a real browser: everything is drawn, nothing is loaded, a
// narrow window is enough, and the pointer reads values.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { Chart, ScenarioResult } from '../../bench/load/figures.ts'
import { LatencyRecorder, summarizeLatency } from '../../bench/load/latency.ts'
import type { RunFacts } from '../../bench/load/machine.ts'
import { htmlReport } from '../../bench/load/report/page.ts'
import { noBrowser, openPage } from '../support/browser.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const FACTS: RunFacts = {
  tool: 'sluice bench', version: '1.2.3', commit: 'abcdef', date: '2026-01-02T03:04:05.678Z',
  cpu: 'Some Processor', cores: 2, memoryBytes: 24 * 1024 ** 3, node: 'v22.0.0',
  platform: 'linux x64', command: 'sluice bench all --html <script>alert(1)</script>',
}
const WIDE = { width: 1200, height: 900 }
const NARROW = { width: 420, height: 800 }

const latency = new LatencyRecorder()
for (let us = 100; us < 50_000; us += 50) latency.record(us)

const pace: Chart = {
  title: 'Pace </script><b>at</b> the upstream', yLabel: 'sends/s', lines: [
    { label: 'asked', points: [[0, 50], [10, 50]], isReference: true },
    { label: 'seen', points: Array.from({ length: 11 }, (_, second) => [second, 48 + second % 5]) },
  ],
}
const RESULTS: readonly ScenarioResult[] = [{
  scenario: 'pace', title: 'A pace', notes: ['A note.'],
  ratios: [{ key: 'a_ratio', label: 'this ÷ that', value: 0.75, unit: 'ratio', runs: [0.7, 0.8] }],
  figures: [{ key: 'a_rate', label: 'a rate', value: 12_345, unit: '/s' }],
  latencies: [{ label: 'some latency', summary: summarizeLatency([latency.encode()]) }],
  charts: [pace, { title: 'Without any point', yLabel: 'y', lines: [{ label: 'x', points: [] }] }],
}, {
  scenario: 'soak', title: 'A heap', notes: [], ratios: [], figures: [], latencies: [],
  charts: [{ title: 'Heap', yLabel: 'MiB', lines: [{ label: 'used', points: [[0, 1], [1, 3]] }] }],
}]

/** Of each chart the pixels that are neither transparent nor gray; an expression for the page. */
const COLORS_DRAWN = `[...document.querySelectorAll('.chart canvas')].map((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
  let colored = 0
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, alpha] = data.slice(at, at + 4)
    if (alpha > 0 && Math.max(red, green, blue) - Math.min(red, green, blue) > 40) colored += 1
  }
  return colored
})`
/** Pixels by which the page is too wide for its window. */
const OVERFLOW = 'document.documentElement.scrollWidth - innerWidth'
/** None reaches beyond its place, nor any place beyond the window. */
const CHARTS_FIT = `[...document.querySelectorAll('.chart canvas')].every((canvas) =>
  canvas.clientWidth <= canvas.closest('.chart').clientWidth && canvas.clientWidth <= innerWidth)`

describe('the page of the bench', { skip: noBrowser }, () => {
  it('draws every chart that has points, by itself', async (t) => {
    const address = writtenPage(temporaryFolder(t))
    const { page, complaints, requests } = await openPage(t, address, WIDE)
    assert.deepEqual(await page.locator('.chart h3').allTextContents(),
      ['Pace </script><b>at</b> the upstream', 'some latency', 'Heap'])
    await page.waitForFunction(CHARTS_FIT)
    const colors = await page.evaluate<number[]>(COLORS_DRAWN)
    assert.equal(colors.length, 3)
    for (const [at, count] of colors.entries()) {
      assert.ok(count > 200, `chart ${at} has but ${count} colored pixels`)
    }
    assert.equal(await page.locator('code').textContent(), FACTS.command)
    assert.deepEqual(complaints, [])
    assert.deepEqual(requests.filter((each) => !each.startsWith('data:')), [address])
  })

  it('fits a narrow window', async (t) => {
    const { page } = await openPage(t, writtenPage(temporaryFolder(t)), WIDE)
    const widths = (): Promise<number[]> => page.locator('.chart canvas')
      .evaluateAll((all) => all.map((canvas) => canvas.clientWidth))
    const wide = await widths()
    await page.setViewportSize(NARROW)
    await page.waitForFunction(CHARTS_FIT)
    assert.ok(wide.every((width) => width > 0), `${wide}`)
    assert.ok((await widths()).every((width) => width > NARROW.width / 2))
    assert.ok(await page.evaluate<number>(OVERFLOW) <= 0)
  })

  it('tells values under the pointer', async (t) => {
    const { page } = await openPage(t, writtenPage(temporaryFolder(t)), WIDE)
    const values = page.locator('.chart').first().locator('.u-legend .u-value')
    assert.deepEqual(await values.allTextContents(), ['–', '–', '–'])
    const plot = page.locator('.chart').first().locator('.u-over')
    const box = await plot.boundingBox()
    assert.ok(box !== null)
    await plot.hover({ position: { x: box.width - 1, y: box.height / 2 } })
    await values.last().filter({ hasText: '48' }).waitFor()
    assert.deepEqual(await values.allTextContents(), ['10', '50', '48'])
  })
})

/** Its address. */
function writtenPage(folder: string): string {
  const file = `${folder}/report.html`
  writeFileSync(file, htmlReport(FACTS, RESULTS))
  return pathToFileURL(file).href
}
