// The process from outside: how it starts, what it says, how it stops, and what it answers to
// everything that can be wrong with its surroundings.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { get, post } from '../support/client.ts'
import { SluiceProcess, startServer } from '../support/server.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')

/** An upstream that never answers; resolves `arrived` with its first request. */
async function silentUpstream(t: TestContext):
  Promise<{ url: string; arrived: Promise<http.ServerResponse> }> {
  const { promise: arrived, resolve } = Promise.withResolvers<http.ServerResponse>()
  const server = http.createServer((_request, response) => resolve(response))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, arrived }
}

const job = (url: string, key: string): object =>
  ({ user_id: 'u', idempotent_key: key, url, method: 'GET', delivery: 'poll' })

describe('starting', () => {
  it('says where it listens and what memory it has, and is ready by then', async (t) => {
    const server = await startServer({ configYaml: 'shards: 2\n' }, t)
    assert.match(server.stdout, /^sluice \d+\.\d+\.\d+$/m)
    assert.match(server.stdout, /^config +sluice.yaml$/m)
    assert.match(server.stdout, /^shards +2$/m)
    assert.match(server.stdout, /^memory +[\d.]+ MiB of 128 MiB, taken as it fills$/m)
    assert.match(server.stdout, /^ +job log +[\d.]+ MiB$/m)
    assert.equal((await get(`${server.url}/ready`)).status, 200)
    assert.equal(await server.stop('SIGTERM'), 0)
    assert.equal(server.stderr.includes('"level":"error"'), false, server.stderr)
  })

  it('touches its memory at the start when told to', async (t) => {
    const server = await startServer({ flags: ['--touch', '--memory', '64MiB'] }, t)
    assert.match(server.stdout, /all of it touched/)
    assert.equal(await server.stop('SIGINT'), 0)
  })

  it('asks for huge pages, where it can', async (t) => {
    const setting = '/sys/kernel/mm/transparent_hugepage/enabled'
    // PeerJobs all memory gets them without asking, or none does.
    const canAsk = existsSync(setting) && readFileSync(setting, 'utf8').includes('[madvise]')
    if (!canAsk) return t.skip('the machine is set otherwise')
    const folder = temporaryFolder(t)
    const { GLIBC_TUNABLES: _, ...env } = process.env
    const child = spawn(path.join(ROOT, 'scripts/start'),
      ['--port', '0', '--memory', '64MiB', '--journal', 'off', '--data', folder],
      { cwd: folder, env, stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => child.kill('SIGKILL'))
    let output = ''
    for await (const text of child.stdout.setEncoding('utf8')) {
      output += text as string
      if (output.includes('listening on')) break
    }
    assert.match(output, /^listening on/m)
    // VmFlags of a mapping have hg when huge pages were asked for.
    const kib = readFileSync(`/proc/${child.pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-)/m)
      .filter((mapping) => /^VmFlags:.* hg\b/m.test(mapping))
      .map((mapping) => Number(/^Size: +(\d+) kB$/m.exec(mapping)?.[1]))
    assert.ok(Math.max(...kib) >= 16 * 1024, `asked for mappings of ${kib.join(', ')} KiB`)
    child.kill('SIGTERM')
    assert.deepEqual(await once(child, 'exit'), [0, null])
  })

  it('says what Node says when it refuses its options', () => {
    for (const [options, expected] of [
      ['--nonsense', /--nonsense is not allowed in NODE_OPTIONS/],
      ['--max-semi-space-size=x', /illegal value for flag --max-semi-space-size=x/],
    ] as const) {
      const { status, stderr } = spawnSync(path.join(ROOT, 'scripts/start'), ['--help'],
        { env: { ...process.env, NODE_OPTIONS: options }, encoding: 'utf8' })
      assert.equal(status, 1)
      assert.match(stderr, expected)
      assert.doesNotMatch(stderr, /install|fetch/)
    }
  })

  it('starts all of its threads under flags that are V8\'s own', async (t) => {
    const nodeFlags = ['--max-semi-space-size=8', '--no-flush-bytecode']
    const server = await startServer({ flags: ['--journal', 'interval'], nodeFlags }, t)
    assert.equal(await server.stop(), 0)
  })

  it('refuses a port that is taken, with exit code 1', async (t) => {
    const first = await startServer({}, t)
    const second = new SluiceProcess(['serve', '--memory', '64MiB', '--port', String(first.port)])
    t.after(() => second.kill())
    assert.equal((await second.ended()).code, 1)
    assert.match(second.stderr, new RegExp(`^sluice: .*${first.port}`, 'm'))
    assert.doesNotMatch(second.stderr, /\n +at /, 'no stack for what is no defect')
    assert.equal(await first.stop(), 0)
  })

  it('refuses too little memory and says how much would do', async (t) => {
    const small = new SluiceProcess(['serve', '--port', '0', '--memory', '5MiB'])
    t.after(() => small.kill())
    assert.equal((await small.ended()).code, 2)
    const told = /memory \(flag --memory\): got "5 MiB", expected at least (\d+MiB) for/
    const least = told.exec(small.stderr)?.[1]
    assert.ok(least, small.stderr)
    const server = await startServer({ flags: ['--memory', least, '--shards', '1'] }, t)
    assert.equal(await server.stop(), 0)
  })

  it('refuses too few file descriptors and says how many would do', async (t) => {
    const flags = '--port 0 --memory 64MiB --shards 1 --journal off'
    const { status, stderr } = spawnSync('sh',
      ['-c', `ulimit -n 60 && exec "$0" "$1" serve ${flags}`, process.execPath,
        path.join(ROOT, 'src/main.ts')],
      { cwd: temporaryFolder(t), encoding: 'utf8' })
    assert.equal(status, 2, stderr)
    assert.match(stderr, /ulimit -n \(the system\): got 60, expected at least \d+ file/)
  })

  it('says when it has no working folder', (t) => {
    const folder = temporaryFolder(t)
    const { status, stderr } = spawnSync('sh',
      ['-c', 'cd "$0" && rmdir "$0" && exec "$1" config', folder,
        path.join(ROOT, 'scripts/sluice')],
      { encoding: 'utf8' })
    assert.equal(status, 1)
    assert.match(stderr, /^sluice: the working folder is gone; change to one that is there$/m)
    assert.doesNotMatch(stderr, /\n +at /, 'no stack for what is no defect')
  })

  it('warns of more memory than the machine has', async (t) => {
    const server = new SluiceProcess(['serve', '--port', '0', '--journal', 'off',
      '--memory', '60TiB'])
    t.after(() => server.kill())
    assert.equal((await server.ended()).code, 1)
    assert.match(server.stderr, /"memory":"60 TiB","machine":"[^"]+","msg":"--memory is more than/)
    assert.match(server.stderr, /^sluice: the system refused 60 TiB of memory/m)
  })

  it('refuses a file of authorities without one, with exit code 2', async (t) => {
    const server = new SluiceProcess(['serve', '--port', '0', '--ca-file', '/dev/null'])
    t.after(() => server.kill())
    assert.equal((await server.ended()).code, 2)
    assert.match(server.stderr, /ca_file \(flag --ca-file\): got "\/dev\/null", expected/)
  })
})

describe('stopping', () => {
  it('finishes what is in flight, refuses new jobs, and tells what is lost', async (t) => {
    const upstream = await silentUpstream(t)
    const server = await startServer({ flags: ['--default-max-concurrent', '1'] }, t)
    assert.equal((await post(`${server.url}/jobs`, job(upstream.url, 'sent'))).status, 201)
    assert.equal((await post(`${server.url}/jobs`, job(upstream.url, 'waits'))).status, 201)
    const response = await upstream.arrived
    server.signal('SIGTERM')
    await server.waitFor('stderr', /"msg":"stopping"/)
    assert.equal((await get(`${server.url}/ready`)).status, 503)
    assert.equal((await post(`${server.url}/jobs`, job(upstream.url, 'late'))).status, 503)
    response.end('done')
    assert.equal((await server.ended()).code, 0)
    assert.match(server.stderr, /"queued":1,"msg":"queued jobs are given up/)
    assert.doesNotMatch(server.stderr, /cut off/)
  })

  it('cuts off what is in flight when the grace period has passed', async (t) => {
    const upstream = await silentUpstream(t)
    const server = await startServer({ flags: ['--grace', '50ms'] }, t)
    await post(`${server.url}/jobs`, job(upstream.url, 'a'))
    await upstream.arrived
    assert.equal(await server.stop('SIGTERM'), 0)
    assert.match(server.stderr, /"shards":\[0\],"jobs":1,.*requests in flight were cut off"/)
  })

  it('does not wait after a second signal', async (t) => {
    const upstream = await silentUpstream(t)
    const server = await startServer({ flags: ['--grace', '1h'] }, t)
    await post(`${server.url}/jobs`, job(upstream.url, 'a'))
    await upstream.arrived
    server.signal('SIGTERM')
    await server.waitFor('stderr', /"msg":"stopping"/)
    assert.equal(await server.stop('SIGINT'), 130)
  })
})
