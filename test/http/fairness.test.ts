// One account's flood costs another account its share of the pace, and nothing more.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { monotonicUs } from '../../shards/base/clock.ts'
import { jobOf } from '../support/api-client.ts'
import { flood } from '../support/flood.ts'
import { Scene, upstreamFor } from '../support/scene.ts'
import { LagProbe } from '../support/send-times.ts'
import type { RecordedRequest, TestUpstream } from '../support/upstream.ts'

const FLOOD_JOBS = 5000
const scene = new Scene({ flags: ['--shards', '2', '--memory', '256MiB'] })

const of = (upstream: TestUpstream, user: string): RecordedRequest[] =>
  upstream.requests.filter(({ path }) => path.startsWith(`/${user}/`))

/** Posts so many jobs of a user, whose name their paths begin with. */
async function submit(upstream: TestUpstream, user: string, count: number): Promise<void> {
  const statuses = await flood({
    port: scene.server.port, count,
    bodyOf: (index) => JSON.stringify(jobOf(`${upstream.origin}/${user}/${index}`, {
      user_id: user, idempotent_key: `${upstream.origin}/${index}`,
    })),
  })
  assert.deepEqual([...statuses], [[201, count]])
}

/** Measures from now on how late things are. */
function lagFor(t: TestContext): LagProbe {
  const lag = new LagProbe()
  lag.watch(scene.server.url)
  t.after(() => lag.stop())
  return lag
}

/** An upstream with a shared pace of 20 that has said so. */
async function sharedUpstream(t: TestContext): Promise<TestUpstream> {
  const upstream = await upstreamFor(t, (_request, response) => {
    response.setHeader('X-Aqueduct-Rps', '20').end()
  })
  await scene.api.run(jobOf(`${upstream.origin}/warm/up`))
  return upstream
}

describe('a shared pace of 20', () => {
  // Four pairs of users, so that some share a shard and some do not.
  for (const pair of [1, 2, 3, 4]) {
    it(`sends five jobs within a second, a flood of 5,000 or not: pair ${pair}`, async (t) => {
      const upstream = await sharedUpstream(t)
      await submit(upstream, `flood-${pair}`, FLOOD_JOBS)
      const lag = lagFor(t)
      const postedUs = monotonicUs()
      await submit(upstream, `guest-${pair}`, 5)
      while (of(upstream, `guest-${pair}`).length < 5) {
        await upstream.waitFor(upstream.requests.length + 1)
      }
      const lastUs = Number(of(upstream, `guest-${pair}`).at(-1)?.atUs)
      const seconds = (lastUs - postedUs) / 1e6
      assert.ok(seconds < 1 || lag.isStarved, `the last of the five was sent after ${seconds} s`)
    })
  }

  it('is shared evenly by accounts that have as much to send', async (t) => {
    const upstream = await sharedUpstream(t)
    const users = ['anna', 'bert', 'cleo', 'dora']
    for (const user of users) await submit(upstream, user, 50)
    const from = upstream.requests.length
    await upstream.waitFor(from + 60)
    const seen = upstream.requests.slice(from, from + 60)
    for (const user of users) {
      const share = seen.filter(({ path }) => path.startsWith(`/${user}/`)).length
      assert.ok(share >= 10 && share <= 20, `${user} was sent ${share} of 60`)
    }
  })
})

describe('a flood at one upstream', () => {
  it('does not hold up what is due at another', async (t) => {
    const flooded = await sharedUpstream(t)
    await submit(flooded, 'flood-5', FLOOD_JOBS)
    const other = await upstreamFor(t)
    const lag = lagFor(t)
    const postedUs = monotonicUs()
    await scene.api.accept(jobOf(other.origin, { user_id: 'flood-5' }))
    const [request] = await other.waitFor(1)
    const ms = (Number(request?.atUs) - postedUs) / 1000
    assert.ok(ms < 500 || lag.isStarved, `a job that was due at once was sent after ${ms} ms`)
  })
})
