// A receiver that hangs while its results fill the memory: others are accepted, sent and told all
// the while, and when it comes back it is told of every outcome, of some without their bodies.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type JobFields, type WebhookBody, jobOf } from '../support/api-client.ts'
import { Gate, Scene, UNPACED, upstreamFor } from '../support/scene.ts'

const RESPONSE_BYTES = 60_000
/** Their bodies would take several times the memory. */
const JOBS = 400

const scene = new Scene({
  flags: [...UNPACED, '--shards', '1', '--memory', '12MiB', '--body-limit', '64KiB',
    '--response-limit', '64KiB', '--webhook-timeout', '60s'],
})

const reportedTo = (origin: string, fields: JobFields = {}): JobFields =>
  ({ delivery: undefined, webhook_url: origin, ...fields })

/** Resolves when all jobs have an outcome. */
async function settled(): Promise<void> {
  while ((await scene.api.health()).queues.backlog > 0) { /* not yet */ }
}

describe('a receiver that hangs', () => {
  it('does not delay others, and gets all webhooks in the end', async (t) => {
    const gate = new Gate()
    const told = new Map<string, WebhookBody>()
    const hanging = await upstreamFor(t, gate.hold((_request, response, { body }) => {
      const webhook = JSON.parse(String(body)) as WebhookBody
      told.set(String(webhook.job_id), webhook)
      response.end()
    }))
    const body = 'r'.repeat(RESPONSE_BYTES)
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('X-Aqueduct-Max-Concurrent', '16').end(body)
    })
    const jobs = Array.from({ length: JOBS }, (_, job) => jobOf(upstream.origin,
      reportedTo(hanging.origin, { user_id: 'hanging', idempotent_key: `hangs-${job}` })))
    const jobIds = await Promise.all(jobs.map((job) => scene.api.accept(job)))
    await settled()

    const receiver = await upstreamFor(t)
    for (let job = 1; job <= 20; job++) {
      const fields = { user_id: 'other', method: 'POST', body: 'b'.repeat(50_000) }
      await scene.api.accept(jobOf(upstream.origin, reportedTo(receiver.origin, fields)))
      const requests = await receiver.waitFor(job)
      const webhook = JSON.parse(String(requests[job - 1]?.body)) as WebhookBody
      assert.deepEqual([webhook.body?.length, webhook.truncated], [RESPONSE_BYTES, undefined])
    }

    gate.open()
    while (told.size < JOBS) await hanging.waitFor(hanging.requests.length + 1)
    let whole = 0
    for (const jobId of jobIds) {
      const { body: toldBody, ...outcome } = told.get(jobId) ?? {}
      const plain = { job_id: jobId, status: 'completed', response_status: 200 }
      assert.deepEqual(outcome, toldBody === undefined ? { ...plain, truncated: true } : plain)
      if (toldBody !== undefined) whole++
    }
    assert.ok(whole > 20 && whole < JOBS, `${whole} of ${JOBS} were told of whole`)
  })
})
