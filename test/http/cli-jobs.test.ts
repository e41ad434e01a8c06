// `sluice submit`, `status`, `watch` and `cancel` against a real server.

import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer } from 'node:net'
import { describe, test } from 'node:test'
import { runProgram } from '../../src/cli/program.ts'
import { ApiClient, jobOf } from '../support/api-client.ts'
import { runCommand } from '../support/command.ts'
import { Gate, Scene, UNPACED, rawUpstreamFor, upstreamFor } from '../support/scene.ts'
import { freePort, SluiceProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const scene = new Scene({ flags: UNPACED })

/** Runs a command line in this process. */
async function run(
  args: readonly string[], stdin: string | AsyncIterable<Uint8Array> = '',
  env: Readonly<Record<string, string>> = { SLUICE_SERVER: scene.server.url },
): Promise<{ code: number; stdout: string; stderr: string }> {
  let stdout = ''
  let stderr = ''
  const code = await runProgram(args, {
    env, cwd: '/', stdin: () => typeof stdin === 'string' ? chunksOf(stdin) : stdin,
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
    assert.match(stderr, /line 6: .*missing_field, idempotent_key/)
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

  test('3,000 jobs of 10 KB, in frames that the server takes', async (t) => {
    const upstream = await upstreamFor(t)
    const body = 'x'.repeat(10_000)
    const jobs = Array.from({ length: 3000 }, () => jobOf(upstream.origin, { body }))
    const { code, stderr, stdout } = await run(['submit'],
      jobs.map((job) => JSON.stringify(job)).join('\n'))
    assert.deepEqual([code, stderr], [0, ''])
    assert.equal(new Set(stdout.split('\n')).size, 3001)
    const large = JSON.stringify(jobOf(upstream.origin, { body: 'x'.repeat(2 ** 21) }))
    const refused = await run(['submit'], `${large}\n${JSON.stringify(jobs[0])}\n`)
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /^sluice: line 1: the job takes \d+ bytes, and on this connection/)
    assert.match(refused.stdout, /^[0-9a-f]{24}\n$/)
  })

  test('two lines with one key, and a result for each', async (t) => {
    const upstream = await upstreamFor(t)
    const line = JSON.stringify(jobOf(upstream.origin))
    const { code, stdout } = await run(['submit', '--wait'], `${line}\n\n${line}\n`)
    assert.equal(code, 0)
    const outcomes = jsonLines(stdout)
    assert.deepEqual(outcomes.map((outcome) => outcome['line']).toSorted(), [1, 3])
    assert.equal(outcomes[0]?.['job_id'], outcomes[1]?.['job_id'])
    assert.equal(upstream.requests.length, 1)
  })

  test('input that cannot be read, to its end or at all', async (t) => {
    const upstream = await upstreamFor(t)
    async function* broken(): AsyncIterable<Uint8Array> {
      yield Buffer.from(`${JSON.stringify(jobOf(upstream.origin))}\n`)
      await Promise.reject(new Error('EISDIR: illegal operation on a directory, read'))
    }
    const { code, stderr, stdout } = await run(['submit'], broken())
    assert.deepEqual([code, stderr],
      [1, 'sluice: cannot read the input: EISDIR: illegal operation on a directory, read\n'])
    assert.match(stdout, /^[0-9a-f]{24}\n$/)
  })

  test('says what is wrong with usage and servers', async () => {
    const url = ['--url', 'http://x/']
    const wrong: readonly (readonly [readonly string[], RegExp])[] = [
      [[...url, '--header', 'nonsense'], /--header nonsense has no colon/],
      [[...url, '--header', 'A: 1', '--header', 'a: 2'], /--header a is given twice/],
      [['--max-retries', '3'], /--max-retries is about one job, which needs --url/],
      [[...url, '--max-retries', 'three'],
        /--max-retries: got "three", expected a whole number from -1 to 100/],
      [[...url, '--max-retries', '1.5'], /--max-retries: got "1.5"/],
      [[...url, '--max-retries', ''], /--max-retries: got ""/],
      [[...url, '--execute-before', '2020-01-01'],
        /--execute-before: got "2020-01-01", expected a whole number/],
      [[...url, '--execute-before', '1.5'], /--execute-before: got "1.5"/],
      [[...url, '--server', 'here'], /--server has to be an address such as/],
      [[...url, '--server', 'ftp://127.0.0.1'], /--server has to be an address such as/],
      [[...url, '--server', 'http://127.0.0.1:\n4000'], /--server has to be an address such as/],
      [[...url, '--server', 'http://127.0.0.1/?a'], /--server has to be an address without \?/],
    ]
    for (const [args, expected] of wrong) {
      const { code, stderr } = await run(['submit', ...args])
      assert.equal(code, 2, args.join(' '))
      assert.match(stderr, expected)
    }
    const variable = await run(['status', 'x'], '', { SLUICE_SERVER: 'here' })
    assert.equal(variable.code, 2)
    assert.match(variable.stderr, /SLUICE_SERVER has to be an address/)
    const nobody = await run(['submit', '--server', 'http://127.0.0.1:1', ...url])
    assert.deepEqual([nobody.code, nobody.stderr],
      [1, 'sluice: cannot connect to http://127.0.0.1:1\n'])
  })

  test('a server behind a path and a password, which is not shown', async (t) => {
    const upstream = await upstreamFor(t)
    const heads: string[] = []
    const proxy = createServer((client) => {
      client.once('data', (head) => {
        heads.push(head.toString())
        const server = connect(scene.server.port, '127.0.0.1')
        server.write(head.toString().replace(' /base/', ' /'))
        client.pipe(server).pipe(client)
        client.on('error', () => server.destroy())
        server.on('error', () => client.destroy())
      })
    })
    await new Promise<void>((resolve) => { proxy.listen(0, '127.0.0.1', resolve) })
    t.after(() => proxy.close())
    const { port } = proxy.address() as AddressInfo
    const server = `http://ann:pass%20word@127.0.0.1:${port}/base`
    const { code, stderr, stdout } = await run(
      ['submit', '--server', server, '--url', upstream.origin])
    assert.deepEqual([code, stderr], [0, ''])
    assert.equal((await run(['status', stdout.trim(), '--server', `${server}/`])).code, 0)
    const login = Buffer.from('ann:pass word').toString('base64')
    assert.equal(heads.length, 2)
    for (const head of heads) assert.match(head, new RegExp(`authorization: Basic ${login}`, 'i'))
    await new Promise((resolve) => { proxy.close(resolve) })
    const gone = await run(['submit', '--server', server, '--url', upstream.origin])
    assert.equal(gone.stderr, `sluice: cannot connect to http://127.0.0.1:${port}/base\n`)
  })

  test('a server that drains is named', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end()))
    const server = await startServer({}, t)
    const api = new ApiClient(server.url)
    t.after(() => api.close())
    await api.accept(jobOf(upstream.origin))
    const drained = runCommand(server.folder, ['drain', '--journal', 'off',
      '--port', String(server.port)])
    await server.waitFor('stderr', /draining: no new jobs/)
    const { code, stderr } = await run(['submit', '--server', server.url, '--url', 'http://x/'])
    assert.equal(code, 1)
    assert.equal(stderr, `sluice: cannot connect to ${server.url}: ` +
      'The server is stopping and takes no new jobs. (draining)\n')
    gate.open()
    assert.equal((await drained).code, 0)
  })

  test('a server that stops and comes back is found again, also by watch', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_request, response) => response.end('done')))
    // A port that was asked for by its number can be listened on again at once; one that the
    // system chose cannot, as long as a connection to it lingers.
    const flags = ['--grace', '0s', '--port', String(await freePort()), '--journal', 'interval',
      '--data', temporaryFolder(t)]
    const first = await startServer({ flags }, t)
    const job = JSON.stringify(jobOf(upstream.origin))
    const input = Promise.withResolvers<void>()
    async function* lines(): AsyncIterable<Uint8Array> {
      yield Buffer.from(`${job}\n`)
      await input.promise
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
    const watch = new SluiceProcess(['watch', '--server', first.url, stdout.trim()])
    t.after(() => watch.kill())
    assert.ok(await watch.waitFor('stdout', /"event":"watched"/))
    await first.stop('SIGTERM')
    const second = await startServer({ flags }, t)
    input.resolve()
    assert.equal(await running, 0)
    assert.equal(stdout.trim().split('\n').length, 2)
    assert.ok(await watch.waitFor('stderr', /connecting again/))
    gate.open()
    assert.deepEqual(await watch.ended(), { code: 0, signal: null })
    assert.match(watch.stdout, /"event":"completed"/)
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
