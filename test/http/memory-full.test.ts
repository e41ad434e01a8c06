// A server whose memory is full: refusals that say so and when to come back, nothing lost of what
// was accepted, and room again once jobs have gone, round after round.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { Prng } from '../../shards/base/prng.ts'
import { type Answer, jobOf } from '../support/api-client.ts'
import { flood } from '../support/flood.ts'
import { Gate, Scene, UNPACED, upstreamFor } from '../support/scene.ts'
import { SEED } from '../support/swarm.ts'
import type { TestUpstream } from '../support/upstream.ts'

const scene = new Scene({
  flags: [...UNPACED, '--shards', '1', '--memory', '12MiB', '--body-limit', '64KiB',
    '--response-limit', '64KiB'],
})

/** An upstream that takes one request, and answers it when its gate is opened. */
interface Paused {
  readonly upstream: TestUpstream
  readonly gate: Gate
  /** What was accepted for it, by its path. */
  readonly held: Map<string, { readonly body: string, readonly jobId: string }>
}

async function pausedUpstream(t: TestContext): Promise<Paused> {
  const upstream = await upstreamFor(t, (_request, response) => {
    response.setHeader('X-Aqueduct-Max-Concurrent', '1').end()
  })
  await scene.api.run(jobOf(upstream.origin))
  const gate = new Gate()
  upstream.respond = gate.hold((_request, response, { body }) => {
    // A result as long as the job, so that memory has to hold those too.
    response.setHeader('X-Aqueduct-Max-Concurrent', '1000').end(body)
  })
  return { upstream, gate, held: new Map() }
}

/** Sizes as they come in life: most small, some middling, a few large. */
function drawBodyLength(prng: Prng): number {
  if (prng.chance(0.5)) return prng.below(100)
  return prng.chance(0.7) ? prng.between(1000, 8000) : prng.between(30_000, 60_000)
}

let pathsDrawn = 0

/**
 * Posts jobs of random sizes, an eighth of them to `side`, until so many in a row are refused;
 * resolves with the last refusal. A refused job may have made room for a smaller one.
 */
async function fill(
  prng: Prng, refusals: number, main: Paused, side: Paused = main,
): Promise<Answer> {
  let refused = 0
  for (;;) {
    const { upstream, held } = prng.below(8) === 0 ? side : main
    const path = `/${pathsDrawn++}`
    const body = String.fromCharCode(97 + prng.below(26)).repeat(drawBodyLength(prng))
    const answer = await scene.api.post(jobOf(upstream.origin + path, { method: 'POST', body }))
    refused = answer.status === 201 ? 0 : refused + 1
    if (refused === refusals) return answer
    if (refused > 0) continue
    held.set(path, { body, jobId: String(answer.body.job_id) })
  }
}

function assertRefusal(answer: Answer, retryAfter: number): void {
  assert.equal(answer.status, 429, answer.bytes.toString())
  assert.equal(answer.headers['retry-after'], String(retryAfter))
  assert.deepEqual(Object.keys(answer.body).toSorted(),
    ['code', 'current', 'error', 'limit', 'limit_reason'])
  assert.equal(answer.body.code, 'limit_reached')
  assert.ok(Number(answer.body.limit) > 0)
  assert.ok(Number(answer.body.current) > 0)
}

/**
 * Opens the gate and waits until everything accepted has come, once and unharmed, and nothing is
 * left but `parked` jobs of others.
 */
async function drain({ upstream, gate, held }: Paused, parked = 0): Promise<void> {
  gate.open()
  await upstream.waitFor(held.size + 1)
  await idle(parked)
  const requests = upstream.requests.slice(1)
  assert.equal(requests.length, held.size)
  for (const { path, body } of requests) {
    assert.ok(body.toString() === held.get(path)?.body, `the body of ${path} is what was posted`)
  }
  assert.equal(new Set(requests.map(({ path }) => path)).size, held.size, 'each was sent once')
}

/** Waits until all jobs have an outcome but for `parked` of them. */
async function idle(parked = 0): Promise<void> {
  while ((await scene.api.health()).queues.backlog > parked) { /* not yet */ }
}

describe('memory that is full', () => {
  it('is told with 429, a burst of refusals with the same Retry-After', async (t) => {
    const paused = await pausedUpstream(t)
    const { upstream, held } = paused
    const prng = new Prng(SEED)
    const first = jobOf(`${upstream.origin}/first`, { method: 'POST', body: 'first' })
    held.set('/first', { body: 'first', jobId: await scene.api.accept(first) })
    assertRefusal(await fill(prng, 1, paused), 5)
    const body = 'x'.repeat(60_000)
    const large = jobOf(`${upstream.origin}/large`, { method: 'POST', body })
    for (let again = 0; again < 6; again++) {
      const refusal = await scene.api.post(large)
      assertRefusal(refusal, 5)
      assert.equal(refusal.body.limit_reason, 'memory_share')
      assert.ok(Number(refusal.body.current) > 0.9 * Number(refusal.body.limit))
    }
    const known = await scene.api.post(first)
    assert.equal(known.status, 200, 'a known key needs no room')
    assert.equal(known.body.job_id, held.get('/first')?.jobId)

    for (const [path, { jobId }] of [...held].slice(-40)) {
      assert.equal((await scene.api.cancel(jobId)).status, 200)
      held.delete(path)
    }
    held.set('/large', { body, jobId: await scene.api.accept(large) })
    assertRefusal(await fill(prng, 1, paused), 5)
    await drain(paused)
  })

  it('has room again when jobs have gone, round after round, around a lane that stands still',
    async (t) => {
      const prng = new Prng(SEED + 1)
      const still = await pausedUpstream(t)
      let firstCount = 0
      for (let round = 0; round < 5; round++) {
        const paused = await pausedUpstream(t)
        assert.equal((await fill(prng, 8, paused, still)).status, 429)
        const count = paused.held.size + still.held.size
        firstCount ||= count
        assert.ok(count > firstCount * 0.6, `round ${round} held ${count}, the first ${firstCount}`)
        await drain(paused, still.held.size)
      }
      await drain(still)
    })

  it('takes small jobs of one user until it has its share, and then those of others', async (t) => {
    const paused = await pausedUpstream(t)
    const { jobs_max: jobsMax } = (await scene.api.health()).admission
    const refusals = new Set<string>()
    const statuses = await flood({
      port: scene.server.port, count: jobsMax + 200,
      bodyOf: (index) => JSON.stringify(jobOf(paused.upstream.origin, {
        idempotent_key: `many-${index}`,
      })),
      onAnswer: (status, body) => {
        if (status !== 429) return
        refusals.add(String((JSON.parse(body) as Record<string, unknown>)['limit_reason']))
      },
    })
    const accepted = statuses.get(201) ?? 0
    assert.deepEqual([...refusals], ['memory_share'])
    assert.ok(accepted > 0.7 * jobsMax && accepted < 0.94 * jobsMax, `${accepted} of ${jobsMax}`)
    const { job_id: cancelled } = (await scene.api.post(jobOf(paused.upstream.origin, {
      user_id: 'user-2',
    }))).body
    assert.equal((await scene.api.cancel(String(cancelled))).status, 200)
    paused.upstream.respond = (_request, response) => { response.end() }
    paused.gate.open()
    await paused.upstream.waitFor(accepted + 1)
    await idle()
  })
})
