// The reports of a made-up result: what stands first, what is escaped, and what is appended.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import type { ScenarioResult } from '../../bench/load/figures.ts'
import { LatencyRecorder, summarizeLatency } from '../../bench/load/latency.ts'
import type { RunFacts } from '../../bench/load/machine.ts'
import { lineProgress } from '../../bench/load/progress.ts'
import { htmlReport } from '../../bench/load/report/page.ts'
import { recordRun } from '../../bench/load/report/record.ts'
import { textReport } from '../../bench/load/report/text.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const FACTS: RunFacts = {
  tool: 'sluice bench', version: '1.2.3', commit: 'abcdef', date: '2026-01-02T03:04:05.678Z',
  cpu: 'Some Processor', cores: 2, memoryBytes: 24 * 1024 ** 3, node: 'v22.0.0',
  platform: 'linux x64', command: 'sluice bench ingest --profile <b>',
}

const latency = new LatencyRecorder()
for (const us of [100, 150, 150, 4000]) latency.record(us)

const RESULT: ScenarioResult = {
  scenario: 'ingest', title: 'A title with </script> & <b>',
  ratios: [{ key: 'a_ratio', label: 'this ÷ that', value: 0.75, unit: 'ratio', runs: [0.7, 0.8] }],
  figures: [{ key: 'a_rate', label: 'a rate', value: 12_345, unit: '/s' }],
  latencies: [{ label: 'some latency', summary: summarizeLatency([latency.encode()]) }],
  charts: [{ title: 'A chart', yLabel: 'y', lines: [{ label: '</script>', points: [[0, 1]] }] }],
  notes: ['A note.'],
}

describe('reports', () => {
  it('begin with the ratios and say on what', () => {
    const text = textReport(FACTS, [RESULT])
    assert.ok(text.indexOf('this ÷ that') < text.indexOf('a rate'))
    assert.match(text, /this ÷ that +0\.750 +of 0\.700 {2}0\.800/)
    assert.match(text, /a rate +12,345 \/s/)
    assert.match(text, /Some Processor, 2 cores, 24\.00 GiB, Node v22\.0\.0/)
    assert.match(text, /share 2 cores/)
    assert.match(text, /100 µs – 200 µs █{40} +50\.00 %/)
    assert.doesNotMatch(textReport({ ...FACTS, cores: 16 }, [RESULT]), /share 16 cores/)
  })

  it('are a page that no name can break out of', () => {
    const html = htmlReport(FACTS, [RESULT])
    assert.equal(html.split('</script>').length - 1, 3, 'the data, the library and the page')
    assert.ok(html.includes('A title with &lt;/script&gt; &amp; &lt;b&gt;'))
    assert.doesNotMatch(html, /<b>/)
    const data = /id="data">(.*)<\/script>/.exec(html)?.[1] ?? ''
    assert.deepEqual(JSON.parse(data),
      JSON.parse(JSON.stringify([{ charts: RESULT.charts, latencies: RESULT.latencies }])))
  })

  it('are recorded as a section each, the newest of a scenario on a machine', (t) => {
    const file = `${temporaryFolder(t)}/RESULTS.md`
    const record = (commit: string, facts: Partial<RunFacts>, ...results: ScenarioResult[]): void =>
      recordRun({ ...FACTS, commit, ...facts }, results, file)
    const section = /^## 2026-01-02 03:04 UTC, (\w+)$[^#]+^(\*\*.*)$/gm
    const longer = { ...RESULT, title: 'A longer run' }
    const drain = { ...RESULT, scenario: 'drain' }

    record('a', {}, RESULT, longer, drain)
    record('b', { cpu: 'Another Processor' }, RESULT)
    record('c', { cores: 20 }, RESULT)
    record('d', { node: 'v23.0.0', platform: 'linux x64 7' }, RESULT)
    const text = readFileSync(file, 'utf8')
    assert.deepEqual([...text.matchAll(section)].map((found) => `${found[1]} ${found[2]}`), [
      `a **ingest**: ${longer.title}`, `a **drain**: ${RESULT.title}`,
      `b **ingest**: ${RESULT.title}`, `c **ingest**: ${RESULT.title}`,
      `d **ingest**: ${RESULT.title}`,
    ])
    assert.match(text, /^# Results\n\n/)
    assert.equal(text.split('# Results\n').length, 2)
    assert.match(text, /\n\| this ÷ that \| 0\.750 \| 0\.700, 0\.800 \|\n/)
    assert.match(text, /\nSome Processor, 2 cores, 24\.00 GiB, Node v23\.0\.0, linux x64 7\n/)
    assert.doesNotMatch(text, /\n\n\n/)
    record('d', { node: 'v23.0.0', platform: 'linux x64 7' }, RESULT)
    assert.equal(readFileSync(file, 'utf8'), text, 'the same record again')
  })
})

describe('lineProgress', () => {
  it('says what begins, and not every step', () => {
    const lines: string[] = []
    const task = lineProgress((line) => lines.push(line)).begin('filling', 10)
    for (let done = 0; done <= 10; done++) task.update(done, '5 /s')
    task.end()
    assert.deepEqual(lines, ['filling ...\n'])
  })
})
