// New code for shards that are at work, with real threads, sockets and an upstream: every job goes
// out once and in its account's order, every webhook once, and what is in flight ends as if nothing
// had happened, however often its shard changes threads meanwhile.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { type LiveJob, LiveShards } from '../support/live-shards.ts'
import { Gate, upstreamFor } from '../support/scene.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const SHARDS = 2
const ACCOUNTS = 12
const JOBS_PER_ACCOUNT = 250
const RELOADS = 4
const UNPACED = { pacePerSecond: 100_000, concurrentMax: 10_000, timeoutMs: 20_000 }
/** One account, one request at a time: what arrives out of order was sent out of order. */
const ONE_BY_ONE = { ...UNPACED, concurrentMax: 1, accountQueues: true }
const WORKER = new URL('../../shards/shard/worker.ts', import.meta.url).href

const reload = async (live: LiveShards): Promise<void> =>
  assert.deepEqual(await live.supervisor.reload(), { ok: true })

/** A file that runs the shards' own code until it is overwritten. */
function buildIn(t: TestContext): { file: URL; build: (code: string) => void } {
  const file = path.join(temporaryFolder(t), 'build.mjs')
  const build = (code: string): void => writeFileSync(file, code)
  build(`export { default } from '${WORKER}'\n`)
  return { file: pathToFileURL(file), build }
}

describe('a reload', () => {
  it('of shards that are held sends nothing', async (t) => {
    const upstream = await upstreamFor(t)
    const live = await LiveShards.start(t, { shards: 1, upstreams: [UNPACED] })
    const submit = (): void => {
      live.submit({ shard: 0, account: 0, upstream: 0, url: `${upstream.origin}/` })
    }
    live.supervisor.hold(true)
    submit()
    await live.waitForAccepted(1)
    await reload(live)
    submit()
    await live.waitForAccepted(2)
    submit() // accepted a turn later: the second would have left by then
    await live.waitForAccepted(3)
    assert.equal(live.stats.attempts, 0)
    live.supervisor.hold(false)
    await upstream.waitFor(3)
  })

  it('under load sends every job once, in order, and every webhook once', async (t) => {
    const upstream = await upstreamFor(t, (_request, response, { path: url }) => {
      setTimeout(() => response.end(`done ${url}`), Number(url.split('-').at(-1)) % 7)
    })
    const receiver = await upstreamFor(t)
    const live = await LiveShards.start(t, { shards: SHARDS, upstreams: [ONE_BY_ONE] })
    let reloads = 0
    const reloading = (async () => {
      for (; reloads < RELOADS; reloads++) await reload(live)
    })()
    let submitted = 0
    for (let number = 0; number < JOBS_PER_ACCOUNT; number++) {
      for (let account = 0; account < ACCOUNTS; account++) {
        live.submit({
          shard: account % SHARDS, account, upstream: 0,
          url: `${upstream.origin}/of-${account}-${number}`,
          webhookUrl: `${receiver.origin}/hook-${account}-${number}`,
        })
        submitted++
      }
      if (number % 5 === 0) await pause(2)
    }
    await live.waitForAccepted(submitted)
    await reloading
    await reload(live)
    await upstream.waitFor(submitted)
    await receiver.waitFor(submitted)
    await live.supervisor.stop(10_000)

    assert.equal(upstream.requests.length, submitted)
    assert.equal(receiver.requests.length, submitted)
    assert.equal(new Set(receiver.requests.map((record) => record.path)).size, submitted)
    const next = new Array<number>(ACCOUNTS).fill(0)
    for (const { path: url } of upstream.requests) {
      const [, account, number] = url.split('-').map(Number)
      assert.equal(number, next[account as number], `account ${account}: ${url}`)
      next[account as number] = (number as number) + 1
    }
    const { completed, attempts, webhookAttempts, webhooksDelivered } = live.stats
    assert.deepEqual([completed, attempts, webhookAttempts, webhooksDelivered],
      [submitted, submitted, submitted, submitted])
    assert.deepEqual(live.losses, [])
    assert.deepEqual(live.others, [])
    assert.equal(live.downMs.length, SHARDS * (RELOADS + 1))
    t.diagnostic(`ms that shards stood still: ${live.downMs.join(', ')}`)
  })

  it('leaves a slow request alone, through three changes of threads', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/plain' })
      response.write('slow, ')
      setTimeout(() => response.end('but whole'), 200)
    }))
    const receiver = await upstreamFor(t)
    const live = await LiveShards.start(t, { shards: 1, upstreams: [UNPACED] })
    const job: LiveJob = {
      shard: 0, account: 1, upstream: 0, url: `${upstream.origin}/slow`, retries: 3,
      webhookUrl: `${receiver.origin}/hook`,
    }
    live.submit(job)
    await upstream.waitFor(1)
    await reload(live)
    live.submit({ ...job, account: 2, url: `${upstream.origin}/after` })
    await upstream.waitFor(2)
    await reload(live)
    await reload(live)
    gate.open()
    const hooks = await receiver.waitFor(2)
    for (const { body } of hooks) {
      const said = JSON.parse(body.toString()) as Record<string, unknown>
      assert.deepEqual([said['status'], said['response_status'], said['body']],
        ['completed', 200, 'slow, but whole'])
    }
    assert.deepEqual(upstream.requests.map((record) => record.path).sort(), ['/after', '/slow'])
    assert.equal(live.stats.attempts, 2)
    assert.deepEqual(await live.supervisor.stop(10_000), { queued: 0, cutOff: [] })
    assert.equal(upstream.connections.openCount, 0)
  })

  it('lets a deadline reach a request in the old thread', async (t) => {
    const upstream = await upstreamFor(t, () => { /* never answers */ })
    const live = await LiveShards.start(t,
      { shards: 1, upstreams: [{ ...UNPACED, timeoutMs: 1500 }] })
    const receiver = await upstreamFor(t)
    live.submit({
      shard: 0, account: 1, upstream: 0, url: `${upstream.origin}/silent`,
      webhookUrl: `${receiver.origin}/hook`,
    })
    await upstream.waitFor(1)
    await reload(live)
    const [hook] = await receiver.waitFor(1)
    assert.match(hook?.body.toString() ?? '', /"status":"failed","reason":"timeout"/)
    await upstream.connections.waitForOpen(0)
    assert.equal(upstream.requests.length, 1)
  })

  it('at the end waits for requests that an old thread relays', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => { response.end('ok') }))
    const live = await LiveShards.start(t, { shards: 1, upstreams: [UNPACED] })
    live.submit({ shard: 0, account: 1, upstream: 0, url: `${upstream.origin}/slow` })
    await upstream.waitFor(1)
    await reload(live)
    const stopped = live.supervisor.stop(10_000)
    await pause(100)
    gate.open()
    assert.deepEqual(await stopped, { queued: 0, cutOff: [] })
    assert.equal(live.stats.completed, 1)
  })

  it('is refused when the new code does not start, and nothing has changed', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => { response.end('ok') }))
    const { file, build } = buildIn(t)
    const live = await LiveShards.start(t,
      { shards: SHARDS, upstreams: [UNPACED], workerFile: file })
    live.submit({ shard: 0, account: 1, upstream: 0, url: `${upstream.origin}/first` })
    await upstream.waitFor(1)
    build('throw new Error("not today")\n')
    const outcome = await live.supervisor.reload()
    assert.ok(!outcome.ok)
    assert.match(outcome.reason, /does not start: .*not today/s)
    live.submit({ shard: 1, account: 2, upstream: 0, url: `${upstream.origin}/second` })
    await upstream.waitFor(2)
    gate.open()
    assert.deepEqual(await live.supervisor.stop(10_000), { queued: 0, cutOff: [] })
    assert.equal(live.stats.completed, 2)
    assert.deepEqual(live.losses, [])
  })
})
