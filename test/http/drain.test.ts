// `sluice drain` against a real server: nothing new, everything old, and then the end; or not.

import assert from 'node:assert/strict'
import { rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { lineProgress } from '../../src/cli/drain-progress.ts'
import { ApiClient, jobOf } from '../support/api-client.ts'
import { type CommandEnd, runCommand } from '../support/command.ts'
import { Gate, UNPACED, upstreamFor } from '../support/scene.ts'
import { SluiceProcess, type TestServer, startServer } from '../support/server.ts'
import { SocketClient } from '../support/socket-client.ts'

interface Stage {
  readonly server: TestServer
  readonly api: ApiClient
  readonly drain: (...flags: string[]) => Promise<CommandEnd>
}

async function start(t: TestContext, flags: readonly string[] = []): Promise<Stage> {
  const server = await startServer({ flags: [...UNPACED, '--shards', '2', ...flags] }, t)
  const api = new ApiClient(server.url)
  t.after(() => api.close())
  const drain = (...more: string[]): Promise<CommandEnd> =>
    runCommand(server.folder,
      ['drain', '--journal', 'off', '--port', String(server.port), ...more])
  return { server, api, drain }
}

/** Resolves when the server has begun to drain. */
const draining = ({ server }: Stage): Promise<unknown> =>
  server.waitFor('stderr', /draining: no new jobs/)

describe('a drain', { concurrency: 2 }, () => {
  it('ends the server when jobs, retries and webhooks are done', async (t) => {
    const stage = await start(t, ['--default-max-concurrent', '2'])
    const { api, drain, server } = stage
    const gate = new Gate()
    const failed = new Set<string>()
    const upstream = await upstreamFor(t, gate.hold((request, response) => {
      const key = String(request.url)
      response.statusCode = failed.has(key) ? 200 : 500
      failed.add(key)
      response.end()
    }))
    const receiver = await upstreamFor(t)
    for (let at = 0; at < 12; at++) {
      await api.accept(jobOf(`${upstream.origin}/${at}`, {
        user_id: `user-${at}`, delivery: 'webhook', webhook_url: receiver.origin,
      }))
    }
    const socket = await SocketClient.open(server.url)
    const ended = drain()
    await draining(stage)

    const refused = await api.post(jobOf(upstream.origin))
    assert.deepEqual([refused.status, refused.body.code], [503, 'draining'])
    assert.equal((await api.send('GET', '/ready')).status, 503)
    assert.equal((await api.health()).status, 'draining')
    const [entry] = await socket.enqueue([jobOf(upstream.origin, { ref: 1 })])
    assert.equal(entry?.code, 'draining', 'of a socket that was open before')

    gate.open()
    const { code, stderr, stdout } = await ended
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /^draining: \d+ left: \d+ queued \(oldest \d+ s, job [0-9a-f]{24}.*\)/)
    assert.match(stdout, /, \d+ in flight \(oldest \d+ s, job [0-9a-f]{24}\)\n/)
    assert.match(stdout, /drained: nothing is left, and the server ends\n$/)
    assert.equal((await server.ended()).code, 0)
    assert.equal(upstream.requests.length, 24, 'each was tried twice')
    assert.equal(receiver.requests.length, 12)
    assert.equal((await socket.closed).code, 1001)
    assert.doesNotMatch(server.stderr, /given up/)
  })

  it('that is cancelled lets jobs in again', async (t) => {
    const stage = await start(t)
    const { api, drain, server } = stage
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    const jobId = await api.accept(jobOf(upstream.origin))
    const watching = [drain(), drain()]
    await draining(stage)
    // A file that is wrong elsewhere must not keep anybody from it.
    const file = path.join(server.folder, 'sluice.yaml')
    writeFileSync(file, 'grace: 5\nnot_yet_known: 1\ndata: [1]\n')
    const { code, stderr: passedOver, stdout } = await drain('--cancel')
    assert.deepEqual([code, stdout], [0, 'the drain is cancelled; new jobs are taken again\n'])
    assert.match(passedOver, /data \(file sluice.yaml:3\)[^]*\(passed over: only where the/)
    rmSync(file)
    for (const { code: ended, stderr } of await Promise.all(watching)) {
      assert.equal(ended, 1)
      assert.match(stderr, /the drain was cancelled/)
    }
    assert.equal((await api.send('GET', '/ready')).status, 200)
    gate.open()
    await api.finished(jobId)
    await api.run(jobOf(upstream.origin))
    const again = await drain('--cancel')
    assert.deepEqual([again.code, again.stderr], [1, 'sluice: no drain is under way\n'])
    assert.equal(await server.stop(), 0)
  })

  it('names what it waits for: the oldest, and when the next is due', async (t) => {
    const stage = await start(t)
    const { api, drain, server } = stage
    const upstream = await upstreamFor(t)
    const receiver = await upstreamFor(t, (_request, response) => {
      response.writeHead(429, { 'retry-after': '200' }).end()
    })
    const id = await api.accept(jobOf(upstream.origin, {
      delivery: 'webhook', webhook_url: receiver.origin,
    }))
    await receiver.waitFor(1)
    const inFlight = async (): Promise<number> => (await api.health()).shards.reduce(
      (sum, shard) => sum + shard.webhooks_in_flight, 0)
    while (await inFlight() > 0) { /* the answer is on its way */ }
    const watching = drain()
    await draining(stage)
    assert.match(server.stderr, new RegExp(`"waits_for":\\{"webhooks":\\{"oldest_s":\\d+,` +
      `"oldest_job_id":"${id}","next_due_ms":\\d+\\}\\},"msg":"draining`))
    assert.equal(await server.stop('SIGTERM'), 0)
    assert.match((await watching).stdout, new RegExp('^draining: 1 left: 1 owed to webhooks ' +
      `\\(oldest .*, job ${id}, next in \\d min`))
  })

  it('goes on when nobody watches it any more', async (t) => {
    const stage = await start(t)
    const { api, drain, server } = stage
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    await api.accept(jobOf(upstream.origin))
    const command = new SluiceProcess(
      ['drain', '--control', `${server.folder}/sluice-${server.port}.sock`])
    t.after(() => command.kill())
    await command.waitFor('stdout', /1 left/)
    assert.equal(await command.stop('SIGINT'), 130)
    assert.match(command.stderr, /the drain goes on without this command/)
    const watching = drain()
    gate.open()
    assert.equal((await server.ended()).code, 0)
    assert.equal((await watching).code, 0)
  })

  it('is over at a signal, and whoever watches it is told', async (t) => {
    const stage = await start(t, ['--grace', '0s'])
    const { api, drain, server } = stage
    const upstream = await upstreamFor(t, () => { /* never answers */ })
    await api.accept(jobOf(upstream.origin))
    const watching = drain()
    await draining(stage)
    assert.equal(await server.stop('SIGTERM'), 0)
    const { code, stderr } = await watching
    assert.equal(code, 1)
    assert.match(stderr, /was stopped before it was empty/)
  })
})

describe('the command', () => {
  it('says so when no server is there, and when nobody knows which', async () => {
    const folder = '/nowhere'
    for (const name of ['drain', 'reload']) {
      const nobody = await runCommand(folder, [name, '--journal', 'off', '--port', '4999'])
      assert.equal(nobody.code, 1)
      assert.match(nobody.stderr, /^sluice: no server answers at \/nowhere\/sluice-4999\.sock\n$/)
      const which = await runCommand(folder, [name, '--journal', 'off', '--port', '0'])
      assert.equal(which.code, 2)
      const help = await runCommand(folder, [name, '--help'])
      assert.equal(help.code, 0)
      assert.match(help.stdout, /--control/)
    }
  })

  it('tells rate and time left from what the server says', () => {
    const lines: string[] = []
    const progress = lineProgress((line) => lines.push(line))
    for (let at = 0; at <= 40; at++) {
      progress.update({
        left: 100_000 - at * 250, queued: 99_000 - at * 250, in_flight: 900, webhooks: 100,
        elapsed_ms: at * 250, arriving: 0,
        waits_for: {
          queued: { oldest_s: 3700, oldest_job_id: 'a1' },
          webhooks: { oldest_s: 5, oldest_job_id: 'b2', next_due_ms: 1500 },
        },
      })
    }
    const rest = '900 in flight, 100 owed to webhooks (oldest 5 s, job b2, next in 2 s)'
    const oldest = '(oldest 1 h 1 min, job a1)'
    assert.deepEqual(lines, [
      `draining: 100,000 left: 99,000 queued ${oldest}, ${rest}\n`,
      `draining: 95,000 left: 94,000 queued ${oldest}, ${rest}, 1000/s, 1 min 35 s left\n`,
      `draining: 90,000 left: 89,000 queued ${oldest}, ${rest}, 1000/s, 1 min 30 s left\n`,
    ])
  })
})
