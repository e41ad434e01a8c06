// Every command of `sluice bench` from end to end, at small sizes: processes, reports, and that
// nothing is left behind.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import type { Figure, ScenarioResult } from '../../bench/load/figures.ts'
import { type Cleanup, SluiceProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const SERVER = ['--', '--memory', '128MiB', '--shards', '1']

/** Runs a command line to its end. */
async function run(t: Cleanup, args: readonly string[]):
  Promise<{ code: number | null; stdout: string; stderr: string }> {
  const bench = new SluiceProcess(args)
  t.after(() => bench.kill())
  const { code } = await bench.ended()
  return { code, stdout: bench.stdout, stderr: bench.stderr }
}

/** Runs a bench to its end and returns its JSON report by scenario. */
async function report(t: Cleanup, args: readonly string[]):
  Promise<{ stdout: string; scenarios: Map<string, ScenarioResult>; html: string }> {
  const folder = temporaryFolder(t)
  const files = ['--json', `${folder}/report.json`, '--html', `${folder}/report.html`]
  const [name = '', ...rest] = args
  const { code, stdout, stderr } = await run(t, ['bench', name, ...files, ...rest])
  assert.equal(code, 0, stderr)
  const json = JSON.parse(readFileSync(`${folder}/report.json`, 'utf8')) as {
    readonly scenarios: readonly ScenarioResult[]
  }
  return {
    stdout, html: readFileSync(`${folder}/report.html`, 'utf8'),
    scenarios: new Map(json.scenarios.map((each) => [each.scenario, each])),
  }
}

function valueOf(result: ScenarioResult | undefined, key: string): number {
  const figures: readonly Figure[] = [...result?.ratios ?? [], ...result?.figures ?? []]
  const found = figures.find((figure) => figure.key === key)
  assert.ok(found, `${result?.scenario} has a figure ${key}`)
  return found.value
}

/** The processes of this machine whose parent is the given one. */
const childrenOf = (pid: number): number[] => readdirSync('/proc')
  .filter((name) => /^\d+$/.test(name))
  .filter((name) => {
    try {
      return new RegExp(`^PPid:\\s+${pid}$`, 'm').test(readFileSync(`/proc/${name}/status`, 'utf8'))
    } catch {
      return false
    }
  })
  .map(Number)

/** Whether a process runs; one that nobody has waited for yet does not. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve) })

const commandOf = (pid: number): string => readFileSync(`/proc/${pid}/cmdline`, 'utf8')

/** A bench that is measuring, and the folder in which it makes its files. */
async function measuring(t: Cleanup): Promise<{
  bench: SluiceProcess; folder: string; roles: readonly number[]; servers: readonly number[]
}> {
  const folder = temporaryFolder(t)
  const bench = new SluiceProcess(['bench', 'ingest', '--seconds', '600', ...SERVER,
    '--journal', 'interval'], { env: { TMPDIR: folder, XDG_RUNTIME_DIR: folder } })
  t.after(() => bench.kill())
  assert.ok(await bench.waitFor('stderr', /warming up/))
  const roles = childrenOf(bench.pid)
  const servers = roles.flatMap(childrenOf)
  assert.equal(roles.length, 5, 'generator, upstream, receiver, bare server, runner')
  assert.equal(servers.length, 1)
  assert.ok(readdirSync(folder).length > 0)
  return { bench, folder, roles, servers }
}

// Most of their time they wait for a held upstream's next turn, which is every two seconds.
describe('sluice bench', { concurrency: 4 }, () => {
  it('runs all scenarios and reports in three ways', async (t) => {
    const { stdout, scenarios, html } = await report(t, ['all', '--seconds', '0.5',
      '--alternations', '1', '--jobs', '300', '--drained', '100', '--connections', '8',
      '--rates', '20,200', '--accounts', '10', '--profile', 'typical', ...SERVER])
    assert.deepEqual([...scenarios.keys()],
      ['ingest', 'drain', 'pace', 'fairness', 'density', 'lanes', 'journal', 'soak'])

    const ingest = scenarios.get('ingest')
    const ratio = valueOf(ingest, 'ingest_ratio')
    assert.ok(ratio > 0 && Number.isFinite(ratio))
    assert.ok(valueOf(ingest, 'ingest_bare_rate') > 0)
    assert.equal(ingest?.latencies.length, 2)
    assert.ok(valueOf(scenarios.get('drain'), 'drain_ratio') > 0)
    assert.ok(valueOf(scenarios.get('pace'), 'pace_sends_200') > 20)
    assert.ok(valueOf(scenarios.get('fairness'), 'fairness_jain') > 0.9)
    const density = scenarios.get('density')
    assert.equal(valueOf(density, 'density_accepted'), 300)
    assert.equal(valueOf(density, 'density_lost'), 0)
    assert.ok(valueOf(density, 'density_finished') >= 100)
    const lanes = scenarios.get('lanes')
    assert.equal(valueOf(lanes, 'lanes_active'), 10)
    // A slow machine sends late, so less often; nothing makes a lane send before its time.
    const sent = valueOf(lanes, 'lanes_ratio')
    assert.ok(sent > 0 && sent <= 1.2, `${sent}: at most two of ten lanes twice in a round`)
    const journal = scenarios.get('journal')
    assert.ok(valueOf(journal, 'journal_interval_ratio') > 0)
    assert.ok(valueOf(journal, 'journal_always_rate') > 0)
    const soak = scenarios.get('soak')
    assert.ok(valueOf(soak, 'soak_accepted') > 0)

    for (const { label } of ingest.ratios) assert.ok(stdout.includes(label))
    assert.match(stdout, /p99\.9/)
    assert.match(stdout, /█/)
    assert.ok(html.includes('uPlot'))
    assert.doesNotMatch(html, /(src|href)="(?!data:)/, 'the page loads nothing')
  })

  it('compares depths of the queue, over TLS', async (t) => {
    const { scenarios } = await report(t, ['drain', '--tls', '--queued', '100,300', '--jobs', '100',
      '--alternations', '1', '--connections', '8', ...SERVER])
    assert.ok(valueOf(scenarios.get('drain'), 'drain_depth_ratio_300') > 0)
    assert.deepEqual(scenarios.get('drain')?.notes.slice(1), [], 'nothing was lost')
  })

  it('gives each account a pace of its own', async (t) => {
    const { scenarios } = await report(t, ['pace', '--budgets', '20', '--rate', '10',
      '--seconds', '1.5', '--connections', '8', ...SERVER])
    const pace = scenarios.get('pace')
    assert.ok(valueOf(pace, 'pace_sends_budgets') >= 100)
    assert.ok(Number.isFinite(valueOf(pace, 'budgets_p99_late')))
  })

  it('drives a server that runs already', async (t) => {
    const server = await startServer({}, t)
    const { scenarios } = await report(t, ['ingest', '--target', server.url, '--seconds', '0.2',
      '--alternations', '1', '--connections', '4', '--profile', 'mixed', '--upstreams', '2'])
    const ingest = scenarios.get('ingest')
    assert.ok(valueOf(ingest, 'ingest_rate') > 0)
    // JSON has no NaN: what needs the process is null.
    assert.equal(valueOf(ingest, 'ingest_cpu'), null)
  })

  const ends = [['SIGINT', 130], ['SIGKILL', null]] as const
  for (const [signal, expected] of ends) {
    it(`leaves no process and no file behind after ${signal}`, async (t) => {
      const { bench, folder, roles, servers } = await measuring(t)
      bench.signal(signal)
      assert.equal((await bench.ended()).code, expected)
      // They end by themselves; a busy machine takes a moment.
      while ([...roles, ...servers].some(runs) || readdirSync(folder).length > 0) await turn()
    })
  }

  for (const failed of ['runner', 'server'] as const) {
    it(`ends, and leaves nothing behind, when its ${failed} has failed`, async (t) => {
      const { bench, folder, roles, servers } = await measuring(t)
      const role = failed === 'server' ? servers[0] : roles.find((pid) => commandOf(pid)
        .includes(`roles/${failed}.ts`))
      process.kill(role ?? 0, 'SIGKILL')
      assert.equal((await bench.ended()).code, 1)
      assert.match(bench.stderr, failed === 'server' ? /the server ended with SIGKILL/
        : new RegExp(`sluice bench: the ${failed} process ended with SIGKILL\n$`))
      while ([...roles, ...servers].some(runs)) await turn()
      assert.deepEqual(readdirSync(folder), [])
    })
  }

  it('makes sure that its reports can be written before it measures', async (t) => {
    const folder = temporaryFolder(t)
    for (const [flag, file, expected] of [
      ['--json', `${folder}/none/report.json`, /cannot write \S+: ENOENT/],
      ['--html', folder, /cannot write \S+: EISDIR/],
    ] as const) {
      const { code, stderr } = await run(t,
        ['bench', 'ingest', '--seconds', '600', '--json', `${folder}/r.json`, flag, file])
      assert.equal(code, 1)
      assert.match(stderr, expected)
    }
    assert.deepEqual(readdirSync(folder), [], 'the attempt leaves nothing behind')
  })

  it('refuses what makes no sense, and says what it expected', async (t) => {
    for (const [args, expected] of [
      [['ingest', '--profile', 'huge'], /--profile.*expected one of typical, small, large, mixed/],
      [['pace', '--rates', '1,0.1'], /--rates.*expected a number from 0.5/],
      [['drain', '--target', 'ftp://x'], /--target.*expected an address/],
      [['drain', '--target', 'http://a:b@127.0.0.1'], /--target.*expected an address/],
      [['density', '--upstreams', '2'], /unknown option '--upstreams'/],
    ] as const) {
      const { code, stderr } = await run(t, ['bench', ...args])
      assert.equal(code, 2, stderr)
      assert.match(stderr, expected)
    }
  })

  it('says why when nothing of its kind runs where it is to drive a server', async (t) => {
    let answer = '[]'
    const other = createServer((_request, response) => { response.end(answer) })
    t.after(() => other.close())
    await new Promise<void>((resolve) => { other.listen(0, '127.0.0.1', resolve) })
    const { port } = other.address() as AddressInfo
    const target = `http://127.0.0.1:${port}`
    const ask = async (expected: string): Promise<void> => {
      const { code, stderr } = await run(t, ['bench', 'ingest', '--target', target])
      assert.equal(code, 1)
      assert.equal(stderr, `sluice bench: --target: ${expected}\n`)
    }
    await ask(`what ${target} gives is no health of a Sluice`)
    answer = '{"status":"ok"}'
    await ask(`${target} shows callers its status alone; the bench needs a loopback address`)
    await new Promise((resolve) => { other.close(resolve) })
    await ask(`${target} gives no health of a Sluice: connect ECONNREFUSED 127.0.0.1:${port}`)
  })

  it('says why when the server does not start', async (t) => {
    const { code, stderr } = await run(t,
      ['bench', 'density', '--jobs', '20', '--', '--memory', '1MiB'])
    assert.equal(code, 1)
    assert.match(stderr, /the server ended with 2:[\s\S]*memory/)
  })
})
