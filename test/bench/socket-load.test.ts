// The load generator over WebSocket, against a real server: every job is sent once and answered,
// and the frames that it patches are what a server reads.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { summarizeLatency } from '../../bench/load/latency.ts'
import type { LoadPlan } from '../../bench/load/load-plan.ts'
import { enqueueFrame, patchJob, readAllAccepted } from '../../bench/load/socket-frames.ts'
import { SocketLoad } from '../../bench/load/socket-load.ts'
import { decodeUntrusted, encodeValue } from '../../shards/wire/codec.ts'
import { SluiceProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const PAYLOAD = {
  runId: 'abcdef01', upstreams: ['http://127.0.0.1:1'], receiver: undefined, host: '127.0.0.1',
}

describe('frames', () => {
  it('are what was patched into them', () => {
    const frame = enqueueFrame(PAYLOAD, 3, () => 'typical', () => 0)
    for (const job of [0, 1, 2]) patchJob(frame, job, 10 + job, 70 + job, 900 + job)
    const decoded = decodeUntrusted(frame.bytes.subarray(14))
    assert.ok(decoded.ok)
    const { jobs, type } = decoded.value as {
      type: string, jobs: { user_id: string, idempotent_key: string, ref: number }[],
    }
    assert.equal(type, 'enqueue')
    assert.deepEqual(jobs.map(({ user_id: user, idempotent_key: key, ref }) => [user, key, ref]), [
      ['user-00000070', 'abcdef01-000000000900', 65_546],
      ['user-00000071', 'abcdef01-000000000901', 65_547],
      ['user-00000072', 'abcdef01-000000000902', 65_548],
    ])
  })

  it('are answered with refs that can be read back', () => {
    const jobs = [65_536, 70_000].map((ref) => ({ ref, job_id: '0'.repeat(24) }))
    const short = Buffer.from(encodeValue({ type: 'accepted', jobs }))
    const at = short.indexOf(0x92)
    const message = Buffer.concat(
      [short.subarray(0, at), Buffer.from([0xdc, 0, 2]), short.subarray(at + 1)])
    const refs: number[] = []
    assert.ok(readAllAccepted(message, (ref) => refs.push(ref)))
    assert.deepEqual(refs, [0, 70_000 - 65_536])
    assert.ok(!readAllAccepted(short, () => assert.fail('called')))
  })
})

describe('SocketLoad', () => {
  it('sends each job once and hears of each', async (t) => {
    const server = await startServer({ flags: ['--default-rps', '0.5', '--grace', '0s'] }, t)
    const plan: LoadPlan = {
      address: { host: '127.0.0.1', port: server.port }, payload: PAYLOAD, profile: 'typical',
      connections: 2, depth: 1, accounts: 10, firstAccount: 0, firstSequence: 1, requests: 6400,
      seconds: 60, rate: undefined, refusalsMax: 100, unrecordedSeconds: 0,
    }
    const first = await new SocketLoad(plan, 64).run(() => {})
    assert.deepEqual(first.statuses, { 201: 6400 })
    assert.equal(first.unanswered, 0)
    assert.equal(summarizeLatency([first.latency]).count, 100)
    const again = await new SocketLoad(plan, 64).run(() => {})
    assert.deepEqual(again.statuses, { 200: 6400 }, 'the same keys are duplicates')
    await server.stop('SIGTERM')
  })
})

describe('sluice bench ingest --ws', () => {
  it('compares WebSocket with HTTP', async (t) => {
    const file = `${temporaryFolder(t)}/report.json`
    const bench = new SluiceProcess(['bench', 'ingest', '--ws', '--seconds', '0.3',
      '--alternations', '1', '--accounts', '10', '--connections', '4', '--json', file,
      '--', '--memory', '256MiB', '--shards', '1'])
    t.after(() => bench.kill())
    assert.equal((await bench.ended()).code, 0, bench.stderr)
    const text = readFileSync(file, 'utf8')
    for (const key of ['ingest_ws_ratio', 'ingest_ws_rate', 'ingest_http_rate']) {
      assert.ok(text.includes(`"${key}"`), key)
    }
  })
})
