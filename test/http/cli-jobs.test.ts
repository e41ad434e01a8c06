// `sluice submit`, `status`, `watch` and `cancel` against a real server.

import assert from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import { describe, test } from 'node:test'
import { runProgram } from '../../src/cli/program.ts'
import { jobOf } from '../support/api-client.ts'
import { Gate, Scene, UNPACED, rawUpstreamFor, upstreamFor } from '../support/scene.ts'
import { SluiceProcess, startServer } from '../support/server.ts'

const scene = new Scene({ flags: UNPACED })

/** Runs a command line in this process. */
async function run(args: readonly string[], stdin = ''):
  Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = ''
  let stderr = ''
  const [command = '', ...rest] = args
  const code = await runProgram([command, '--server', scene.server.url, ...rest], {
    env: {}, cwd: '/', stdin: () => chunksOf(stdin),
    stdout: (text) => { stdout += text }, stderr: (text) => { stderr += text },
  })
  return { code, stdout, stderr }
}

/** Cut where no line ends. */
async function* chunksOf(text: string): AsyncIterable<Uint8Array> {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += 1001) yield bytes.subarray(at, at + 1001)
}

const jsonLines = (text: string): Record<string, unknown>[] => text.split('\n')
  .filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>)

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => { server.close(resolve) })
  return port
}

describe('submit', () => {
  test('one job from flags, and its id', async (t) => {
    const upstream = await upstreamFor(t)
    const { code, stderr, stdout } = await run(['submit', '--url', `${upstream.origin}/path`,
      '--user', 'ann', '--key', 'one', '--body', 'text', '--header', 'X-One: 1',
      '--header', 'x-two:a:b', '--max-retries', '0'])
    assert.deepEqual([code, stderr], [0, ''])
    assert.match(stdout, /^[0-9a-f]{24}\n$/)
    await scene.api.finished(stdout.trim())
    const [request] = upstream.requests
    assert.deepEqual([request?.method, request?.path, request?.body.toString()],
      ['POST', '/path', 'text'])
    assert.deepEqual([request?.headers['x-one'], request?.headers['x-two']], ['1', 'a:b'])
    const again = await run(['submit', '--url', `${upstream.origin}/path`, '--user', 'ann',
      '--key', 'one', '--body', 'text', '--wait'])
    assert.equal(jsonLines(again.stdout)[0]?.['job_id'], stdout.trim())
  })

  test('many from standard input, ids in their order', async (t) => {
    const upstream = await upstreamFor(t)
    const jobs = Array.from({ length: 6000 },
      (_, at) => jobOf(upstream.origin, { user_id: `user-${at % 50}` }))
    const lines = jobs.map((job) => JSON.stringify(job))
    lines.splice(3, 0, 'nonsense', '', '{"user_id":"ann"}')
    const { code, stderr, stdout } = await run(['submit'], lines.join('\n'))
    assert.equal(code, 1, 'two lines were no jobs')
    assert.match(stderr, /line 4: the line is not a JSON object\n/)
    assert.match(stderr, /line 5: .*missing_field, idempotent_key/)
    const ids = stdout.trim().split('\n')
    assert.equal(ids.length, jobs.length)
    for (const at of [0, 2, 3, 999, 5999]) {
      assert.equal((await scene.api.post(jobs[at])).body.job_id, ids[at], `job ${at}`)
    }
  })

  test('with --wait, results', async (t) => {
    const upstream = await upstreamFor(t, (request, response) => {
      response.statusCode = request.url === '/1' ? 404 : 200
      response.end(`of ${request.url}`)
    })
    const closed = await rawUpstreamFor(t, (socket) => socket.destroy())
    const jobs = [0, 1, 2].map((at) => jobOf(`${upstream.origin}/${at}`))
    const bad = jobOf(closed.origin, { max_retries: 0 })
    const { code, stdout } = await run(['submit', '--wait'],
      [...jobs, bad].map((job) => JSON.stringify(job)).join('\n'))
    assert.equal(code, 1, 'one has failed')
    const results = jsonLines(stdout)
      .sort((left, right) => Number(left['line']) - Number(right['line']))
    assert.deepEqual(results.map(({ status, response_status: response, body }) =>
      [status, response, body]), [
      ['completed', 200, 'of /0'], ['completed', 404, 'of /1'], ['completed', 200, 'of /2'],
      ['failed', undefined, undefined],
    ])
    const again = await run(['submit', '--wait'], jobs.map((job) => JSON.stringify(job)).join('\n'))
    assert.equal(again.code, 0)
    assert.equal(jsonLines(again.stdout).length, 3)
    assert.equal(upstream.requests.length, 3, 'nothing ran twice')
  })

  test('refuses a key that is known with another request, whether it waits or not', async (t) => {
    const upstream = await upstreamFor(t)
    const first = jobOf(`${upstream.origin}/one`)
    await scene.api.accept(first)
    for (const wait of [[], ['--wait']]) {
      const { code, stderr, stdout } = await run(['submit', ...wait],
        JSON.stringify({ ...first, url: `${upstream.origin}/other` }))
      assert.deepEqual([code, stdout], [1, ''])
      assert.match(stderr, /line 1: .*idempotent_key_reused/)
    }
  })

  test('says what is wrong with usage and servers', async () => {
    const header = await run(['submit', '--url', 'http://x/', '--header', 'nonsense'])
    assert.equal(header.code, 2)
    assert.match(header.stderr, /--header nonsense has no colon/)
    const stray = await run(['submit', '--max-retries', '3'])
    assert.equal(stray.code, 2)
    assert.match(stray.stderr, /--max-retries is about one job, which needs --url/)
    const server = await run(['submit', '--server', 'here', '--url', 'http://x/'])
    assert.equal(server.code, 2)
    const nobody = await run(['submit', '--server', 'http://127.0.0.1:1', '--url', 'http://x/'])
    assert.equal(nobody.code, 1)
    assert.match(nobody.stderr, /cannot connect to http:\/\/127\.0\.0\.1:1\n/)
  })

  test('a server that stops and comes back is found again', async (t) => {
    const upstream = await upstreamFor(t)
    // A port that was asked for by its number can be listened on again at once; one that the
    // system chose cannot, as long as a connection to it lingers.
    const flags = ['--grace', '0s', '--port', String(await freePort())]
    const first = await startServer({ flags }, t)
    const job = JSON.stringify(jobOf(upstream.origin))
    const gate = Promise.withResolvers<void>()
    async function* lines(): AsyncIterable<Uint8Array> {
      yield Buffer.from(`${job}\n`)
      await gate.promise
      yield Buffer.from(`${JSON.stringify(jobOf(upstream.origin))}\n`)
    }
    let stdout = ''
    const answered = Promise.withResolvers<void>()
    const running = runProgram(['submit', '--server', first.url], {
      env: {}, cwd: '/', stdin: lines, stderr: () => {},
      stdout: (text) => {
        stdout += text
        answered.resolve()
      },
    })
    await answered.promise
    await first.stop('SIGTERM')
    const second = await startServer({ flags }, t)
    gate.resolve()
    assert.equal(await running, 0)
    assert.equal(stdout.trim().split('\n').length, 2)
    await second.stop('SIGTERM')
  })
})

test('status and cancel', async (t) => {
  const closed = await rawUpstreamFor(t, (socket) => socket.destroy())
  const jobId = await scene.api.accept(jobOf(closed.origin))
  const status = await run(['status', jobId])
  assert.equal(status.code, 0)
  assert.equal((JSON.parse(status.stdout) as { job_id: string }).job_id, jobId)
  // Between two attempts it can be cancelled; in the moment of one it cannot.
  let cancelled = await run(['cancel', jobId])
  while (cancelled.code !== 0) cancelled = await run(['cancel', jobId])
  assert.equal((JSON.parse(cancelled.stdout) as { status: string }).status, 'cancelled')
  for (const command of ['status', 'cancel']) {
    const { code, stderr } = await run([command, 'nonsense'])
    assert.deepEqual([code, stderr], [1, 'sluice: there is no such job\n'])
  }
})

test('watch prints events until all jobs are finished', async (t) => {
  const gate = new Gate()
  const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('done')))
  const jobId = await scene.api.accept(jobOf(upstream.origin))
  const finished = await scene.api.accept(jobOf(upstream.origin))
  const watching = run(['watch', jobId, finished])
  gate.open()
  const { code, stdout } = await watching
  assert.equal(code, 0)
  const ends = jsonLines(stdout).filter(({ event }) => event === 'completed')
  assert.deepEqual(ends.map((event) => event['job_id']).toSorted(), [jobId, finished].toSorted())
  assert.equal((await run(['watch', 'nonsense'])).code, 1)
})

test('a reader that is slower than the results gets all of them', async (t) => {
  const upstream = await upstreamFor(t, (_request, response) => response.end('x'.repeat(5000)))
  const command = new SluiceProcess(
    ['submit', '--server', scene.server.url, '--url', upstream.origin, '--wait'])
  t.after(() => command.kill())
  assert.deepEqual(await command.ended(), { code: 0, signal: null })
  assert.equal(String(jsonLines(command.stdout)[0]?.['body']).length, 5000)
})
