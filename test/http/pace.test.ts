// The pace that an upstream asks for, as its own clock sees it: never more in any window than was
// promised, and, while there is work, not much less.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { jobOf } from '../support/api-client.ts'
import { flood } from '../support/flood.ts'
import { Gate, Scene, upstreamFor } from '../support/scene.ts'
import { LagProbe, assertKeepsUp, assertWithinPace } from '../support/send-times.ts'
import { type Respond, TestUpstream } from '../support/upstream.ts'

const scene = new Scene({
  flags: ['--shards', '2', '--memory', '256MiB', '--default-max-concurrent', '1'],
}, warmUp)

/** Every shard sends once before anything is measured: the first send of all takes its time. */
async function warmUp(): Promise<void> {
  const upstream = await TestUpstream.start({
    respond: (_request, response) => {
      response.setHeader('X-Aqueduct-Rps', '1000')
        .setHeader('X-Aqueduct-Max-Concurrent', '10')
        .end()
    },
  })
  await backlog(upstream, 100)
  await upstream.waitFor(100)
  await upstream.close()
}

/** An upstream that has already been asked once and has answered with these headers. */
async function pacedUpstream(
  t: TestContext, headers: Readonly<Record<string, string>>,
): Promise<TestUpstream> {
  const upstream = await upstreamFor(t, (_request, response) => {
    response.setHeader('X-Aqueduct-Max-Concurrent', '1000')
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
    response.end()
  })
  await scene.api.run(jobOf(upstream.origin))
  return upstream
}

/** Measures from now on how late things are. */
function lagFor(t: TestContext): LagProbe {
  const lag = new LagProbe()
  lag.watch(scene.server.url)
  t.after(() => lag.stop())
  return lag
}

/** Posts jobs of ten users, so that every shard has some. */
async function backlog(upstream: TestUpstream, count: number): Promise<void> {
  const statuses = await flood({
    port: scene.server.port, count,
    bodyOf: (index) => JSON.stringify(jobOf(upstream.origin, { user_id: `user-${index % 10}` })),
  })
  assert.deepEqual([...statuses], [[201, count]])
}

/**
 * An upstream that names its pace in its first answer, which it gives when so many jobs are waiting
 * behind it: this process is then busy with nothing but watching them come. `later` answers those.
 */
async function backloggedUpstream(
  t: TestContext, pace: number, count: number, later?: Respond,
): Promise<TestUpstream> {
  const gate = new Gate()
  const upstream = await upstreamFor(t, gate.hold((_request, response) => {
    response.setHeader('X-Aqueduct-Rps', String(pace))
      .setHeader('X-Aqueduct-Max-Concurrent', '1000')
      .end()
  }))
  await scene.api.accept(jobOf(upstream.origin))
  await upstream.waitFor(1)
  await backlog(upstream, count)
  gate.open()
  if (later !== undefined) upstream.respond = later
  return upstream
}

interface PaceCase {
  readonly pace: number
  readonly seconds: number
  /** The least part of what the pace allows that must have come, on a busy machine. */
  readonly shareMin: number
}

async function assertPaceIsKept(t: TestContext, paceCase: PaceCase): Promise<void> {
  const { pace, seconds, shareMin } = paceCase
  const wanted = pace * seconds
  const upstream = await backloggedUpstream(t, pace, wanted)
  const lag = lagFor(t)
  await upstream.waitFor(wanted + 1)
  // The first came before the backlog was there.
  const requests = upstream.requests.slice(1)
  assertWithinPace(upstream.requests, pace, lag)
  assertKeepsUp(requests, wanted * shareMin, seconds, lag)
}

describe('a pace', { concurrency: true }, () => {
  const cases: readonly PaceCase[] = [
    { pace: 2, seconds: 5, shareMin: 0.9 },
    { pace: 20, seconds: 4, shareMin: 0.95 },
    { pace: 200, seconds: 3, shareMin: 0.9 },
  ]
  for (const paceCase of cases) {
    it(`of ${paceCase.pace} per second is kept`, (t) => assertPaceIsKept(t, paceCase))
  }

  it('that nobody has named is 2 per second', async (t) => {
    const lag = lagFor(t)
    const upstream = await upstreamFor(t)
    await backlog(upstream, 7)
    await upstream.waitFor(7)
    assertWithinPace(upstream.requests, 2, lag)
    assertKeepsUp(upstream.requests, 7, 3.5, lag)
  })

  it('may be named in any of three headers, of which the first decides', async (t) => {
    const lag = lagFor(t)
    await Promise.all([
      { 'x-aqueduct-rps': '40' }, { 'X-EZTHROTTLE-RPS': '40' }, { 'X-aquifer-RPS': '40.0' },
      { 'X-Aquifer-Rps': '1000', 'X-EZTHROTTLE-RPS': '900', 'X-Aqueduct-Rps': '40' },
      { 'X-Aquifer-Rps': '0.5', 'X-EZTHROTTLE-RPS': '40' },
    ].map(async (headers) => {
      const upstream = await pacedUpstream(t, headers)
      await backlog(upstream, 40)
      await upstream.waitFor(41)
      assertWithinPace(upstream.requests, 40, lag)
      assertKeepsUp(upstream.requests.slice(1), 40, 1.5, lag)
    }))
  })

  it('is kept when jobs come one at a time', async (t) => {
    const lag = lagFor(t)
    const upstream = await pacedUpstream(t, { 'X-Aqueduct-Rps': '4' })
    for (let job = 0; job < 8; job++) await scene.api.run(jobOf(upstream.origin))
    assertWithinPace(upstream.requests, 4, lag)
  })

  it('holds for retries like for any other send', async (t) => {
    const lag = lagFor(t)
    const JOBS = 20
    const tried = new Set<string>()
    const upstream = await upstreamFor(t, (_request, response, { path }) => {
      response.setHeader('X-Aqueduct-Rps', '20')
      response.writeHead(tried.has(path) ? 200 : 500).end()
      tried.add(path)
    })
    const ids = await Promise.all(Array.from({ length: JOBS }, (_, at) =>
      scene.api.accept(jobOf(`${upstream.origin}/${at}`))))
    for (const id of ids) assert.equal((await scene.api.finished(id)).attempts, 2)
    assert.equal(upstream.requests.length, 2 * JOBS)
    assertWithinPace(upstream.requests, 20, lag)
  })

  it('that rises holds from the very next send: no old timer is waited for', async (t) => {
    const lag = lagFor(t)
    const upstream = await upstreamFor(t, (_request, response) => {
      const rises = upstream.requests.length >= 2
      response.setHeader('X-Aqueduct-Rps', rises ? '50' : '0.5').end()
    })
    const posted = backlog(upstream, 30)
    await upstream.waitFor(30)
    await posted
    const [, second, third] = upstream.requests
    const gapMs = (Number(third?.atUs) - Number(second?.atUs)) / 1000
    assert.ok(gapMs < 500, `${gapMs} ms after the answer that named 50 per second`)
    assertKeepsUp(upstream.requests.slice(1), 29, 2, lag)
  })

  it('that falls holds from the very next send', async (t) => {
    const lag = lagFor(t)
    const upstream = await pacedUpstream(t, {
      'X-Aqueduct-Rps': '50', 'X-Aqueduct-Max-Concurrent': '1',
    })
    upstream.respond = (_request, response) => {
      response.setHeader('X-Aqueduct-Rps', upstream.requests.length < 10 ? '50' : '2').end()
    }
    await backlog(upstream, 13)
    await upstream.waitFor(14)
    assertWithinPace(upstream.requests.slice(9), 2, lag)
  })

  it('that makes no sense is ignored, and warned about once', async (t) => {
    const lag = lagFor(t)
    const nonsense = ['NaN', '-1', '1e99', ' ', '0', '0.4', '2, 50', '1000001', '²', '0x20', '+5',
      '5 rps', 'Infinity', `${'9'.repeat(400)}`]
    const count = 2 * nonsense.length
    const upstream = await backloggedUpstream(t, 20, count, (_request, response) => {
      const value = nonsense[upstream.requests.length % nonsense.length] as string
      for (const name of ['Rps', 'Max-Concurrent', 'Account-Queue']) {
        response.setHeader(`X-Aqueduct-${name}`, value)
      }
      response.setHeader('X-Aquifer-Rps', '10000').end()
    })
    await upstream.waitFor(count + 1)
    assertWithinPace(upstream.requests, 20, lag)
    assertKeepsUp(upstream.requests.slice(1), count, 2, lag)
    await scene.server.waitFor('stderr', new RegExp(upstream.origin))
    assert.equal(scene.server.stderr.split(`"upstream":"${upstream.origin}"`).length, 2)
  })
})

describe('requests in flight', () => {
  it('are at most as many as the upstream says, and each that ends makes room', async (t) => {
    const gate = new Gate()
    const upstream = await pacedUpstream(t, {
      'X-Aqueduct-Rps': '10000', 'X-Aqueduct-Max-Concurrent': '3',
    })
    upstream.respond = gate.hold((_request, response) => { response.end() })
    await backlog(upstream, 30)
    for (let arrived = 4; arrived <= 31; arrived++) {
      await upstream.waitFor(arrived)
      assert.ok(gate.heldCount <= 3)
      if (gate.heldCount === 3 || arrived > 28) gate.release(1)
    }
    assert.equal(gate.heldMax, 3)
    gate.open()
  })

  it('go on when the limit falls below them', async (t) => {
    const gate = new Gate()
    const upstream = await pacedUpstream(t, {
      'X-Aqueduct-Rps': '10000', 'X-Aqueduct-Max-Concurrent': '5',
    })
    upstream.respond = gate.hold((_request, response) => {
      response.setHeader('X-Aqueduct-Max-Concurrent', '2').end()
    })
    const ids: string[] = []
    for (let job = 0; job < 12; job++) ids.push(await scene.api.accept(jobOf(upstream.origin)))
    await upstream.waitFor(6)
    assert.equal(gate.heldCount, 5)
    for (let left = 4; left >= 2; left--) {
      gate.release(1)
      // A job of another upstream, to and fro, is time enough for a send that must not come.
      await pacedUpstream(t, {})
      assert.equal(gate.heldCount, left)
    }
    gate.open()
    for (const id of ids) assert.equal((await scene.api.finished(id)).attempts, 1)
  })
})

describe('a pace that is high', () => {
  it('of 2000 per second is kept', (t) =>
    assertPaceIsKept(t, { pace: 2000, seconds: 2, shareMin: 0.7 }))
})
