// A socket that is cut at any message: what was accepted is done, what was not is either there or
// not, and resubmitting everything under the same keys runs nothing twice.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../shards/base/prng.ts'
import { Scene, UNPACED, upstreamFor } from '../support/scene.ts'
import { SocketClient } from '../support/socket-client.ts'
import { SEED } from '../support/swarm.ts'

const ROUNDS = 25
const JOBS = 120
const BATCH = 12

const scene = new Scene({ flags: UNPACED })

test('cut at any message', async (t) => {
  const seed = SEED
  const upstream = await upstreamFor(t)
  for (let round = 0; round < ROUNDS; round++) {
    const prng = new Prng(seed + round)
    const told = `seed ${seed}, round ${round}`
    const jobs = Array.from({ length: JOBS }, (_, ref) => ({
      ref, user_id: `user-${ref % 7}`, idempotent_key: `${round}-${ref}`, method: 'POST',
      url: `${upstream.origin}/${round}/${ref}`, delivery: 'poll', body: `${ref}`,
      ...(prng.chance(0.3) ? { watch: true } : {}),
    }))
    const accepted = new Map<number, string>()
    // A few sockets that break, then one that is left in peace.
    for (let cut = 0; cut < 4; cut++) {
      const format = prng.chance(0.5) ? 'json' : 'msgpack'
      const client = await SocketClient.open(scene.server.url, format)
      let messages = prng.below(20)
      client.ws.on('message', () => {
        for (const message of client.messages.splice(0)) {
          const entries = message['jobs'] as { ref: number, job_id?: string }[] | undefined
          for (const { ref, job_id: jobId } of entries ?? []) {
            if (jobId === undefined) continue
            assert.equal(accepted.get(ref) ?? jobId, jobId, `${told}: one id for one key`)
            accepted.set(ref, jobId)
          }
        }
        if (messages-- === 0) client.ws.terminate()
      })
      const batches = 1 + prng.below(JOBS / BATCH)
      for (let batch = 0; batch < batches && !client.isClosed; batch++) {
        client.send({ type: 'enqueue', jobs: jobs.slice(batch * BATCH, (batch + 1) * BATCH) })
      }
      if (prng.chance(0.5)) client.ws.terminate()
      else setImmediate(() => client.ws.terminate())
      await client.closed
    }
    const last = await SocketClient.open(scene.server.url)
    const entries = await last.enqueue(jobs)
    for (const { ref, job_id: jobId } of entries) {
      assert.ok(jobId, told)
      const before = accepted.get(Number(ref))
      if (before !== undefined) assert.equal(jobId, before, `${told}: what was accepted is held`)
    }
    await Promise.all(entries.map(({ job_id: jobId }) => scene.api.finished(String(jobId))))
    await last.close()
  }
  const paths = upstream.requests.map(({ path }) => path)
  assert.equal(paths.length, ROUNDS * JOBS, `seed ${seed}: each job was sent`)
  assert.equal(new Set(paths).size, paths.length, `seed ${seed}: none was sent twice`)
})
