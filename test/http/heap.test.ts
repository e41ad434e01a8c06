// A million queued jobs lie in shared memory, not in JavaScript heaps: neither the main thread's
// heap nor the memory of the whole process beside the shared part, which is touched at the start,
// grows with them. SLUICE_HEAP_JOBS sets another number of jobs.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MIB } from '../../shards/base/units.ts'
import { Scene, rawUpstreamFor } from '../support/scene.ts'

const JOBS = Number(process.env['SLUICE_HEAP_JOBS'] ?? 1_000_000)
/** Enough for every thread's young generation and compiled code to have reached their size. */
const WARM_UP_JOBS = Math.min(50_000, JOBS / 2)
const USERS = 1000
/** Jobs of one request: a request for each would be nine tenths of the test's time. */
const BATCH_JOBS = 1000
const GROWTH_BYTES_MAX = 64 * MIB

const scene = new Scene({
  flags: ['--shards', '1', '--memory', '512MiB', '--touch', '--default-max-concurrent', '1',
    '--default-timeout', '1h'],
  // What is garbage is collected before it is counted as growth.
  env: { NODE_OPTIONS: '--max-semi-space-size=4' },
})

describe('a million queued jobs', () => {
  it('add less than 64 MiB to the heap, and to all memory but the shared', async (t) => {
    const silent = await rawUpstreamFor(t, () => { /* the one in flight stays there */ })
    let sent = 0
    let lastId = ''
    const lineOf = (index: number): string => `{"user_id":"user-${index % USERS}",` +
      `"idempotent_key":"key-${index}","url":"${silent.origin}/path","method":"POST",` +
      '"headers":{"Authorization":"Bearer of-everyone"},"body":"a body of some size",' +
      '"delivery":"poll"}\n'
    const post = async (count: number): Promise<void> => {
      for (const until = sent + count; sent < until;) {
        const length = Math.min(BATCH_JOBS, until - sent)
        const lines = Array.from({ length }, (_, at) => lineOf(sent + at))
        const { bytes, status } = await scene.api.send('POST', '/jobs/batch', {
          headers: { 'content-type': 'application/x-ndjson' }, body: lines.join(''),
        })
        const answers = bytes.toString().trimEnd().split('\n')
        const accepted = answers.filter((answer) => answer.endsWith('"status":"queued"}'))
        assert.deepEqual([status, answers.length, accepted.length], [200, length, length])
        lastId = answers.at(-1) ?? ''
        sent += length
      }
    }

    const { process: empty } = await scene.api.health()
    await post(WARM_UP_JOBS)
    const { process: warm } = await scene.api.health()
    await post(JOBS - WARM_UP_JOBS)
    const { process: full, queues, admission } = await scene.api.health()

    assert.equal(admission.accepted, JOBS)
    assert.equal(queues.backlog, JOBS - 1) // one is in flight
    const heapGrowth = full.heap_used_bytes - empty.heap_used_bytes
    const growth = full.rss_bytes - warm.rss_bytes
    const inMib = (bytes: number): string => (bytes / MIB).toFixed(1)
    t.diagnostic(`heap ${inMib(heapGrowth)} MiB, process ${inMib(growth)} MiB`)
    assert.ok(heapGrowth < GROWTH_BYTES_MAX, `the heap grew by ${heapGrowth} bytes`)
    assert.ok(growth < GROWTH_BYTES_MAX, `the process grew by ${growth} bytes`)

    const { job_id: jobId } = JSON.parse(lastId) as { job_id: string }
    const { body } = await scene.api.show(jobId)
    assert.equal(body.status, 'queued')
    assert.ok(Number(body.position) >= Math.floor(JOBS / USERS) - 1)
  })
})
