// Configuration end to end: which source wins, as the running server shows it, and that nothing
// starts with a key or a value that it does not know.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { type AnswerBody, ApiClient, jobOf } from '../support/api-client.ts'
import { RawClient } from '../support/raw-client.ts'
import { upstreamFor } from '../support/scene.ts'
import { LagProbe, assertWithinPace } from '../support/send-times.ts'
import { type ServerOptions, SluiceProcess, startServer } from '../support/server.ts'

/** A server's body limit, as its 413 names it. */
async function bodyLimitOf(t: TestContext, options: ServerOptions): Promise<number | undefined> {
  const flags = ['--grace', '0s', ...options.flags ?? []]
  const server = await startServer({ ...options, flags }, t)
  const client = await RawClient.connect(server.port)
  client.write('POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n')
  await client.waitForClose()
  assert.deepEqual(client.statuses, [413])
  const { limit } = JSON.parse(client.received.slice(client.received.indexOf('{'))) as AnswerBody
  assert.equal(await server.stop(), 0)
  return limit
}

/** The end of a command line that must not start anything. */
async function refusalOf(
  args: readonly string[], options: Omit<ServerOptions, 'flags'> = {},
): Promise<string> {
  const run = new SluiceProcess(['serve', '--port', '0', ...args], options)
  const { code } = await run.ended()
  assert.equal(code, 2, run.stdout + run.stderr)
  assert.doesNotMatch(run.stdout, /listening/)
  return run.stderr
}

describe('a setting', { concurrency: 2 }, () => {
  const configYaml = 'body_limit: 100KiB\nshards: 1\n'
  const env = { SLUICE_BODY_LIMIT: '200KiB' }
  const flags = ['--body-limit', '300KiB']

  it('of the file wins over the default', async (t) =>
    assert.equal(await bodyLimitOf(t, { configYaml }), 100 * 1024))
  it('of the environment wins over the file', async (t) =>
    assert.equal(await bodyLimitOf(t, { configYaml, env }), 200 * 1024))
  it('of a flag wins over both', async (t) =>
    assert.equal(await bodyLimitOf(t, { configYaml, env, flags }), 300 * 1024))
  it('that nobody gives is the default', async (t) =>
    assert.equal(await bodyLimitOf(t, {}), 1024 * 1024))

  it('for a single upstream holds for it alone', async (t) => {
    const [quick, slow] = [await upstreamFor(t), await upstreamFor(t)]
    const host = quick.origin.slice('http://'.length)
    const server = await startServer({
      configYaml: `upstreams:\n  "${host}": {rps: 25, max_concurrent: 9}\ndefaults: {rps: 4}\n`,
      flags: ['--grace', '0s'],
    }, t)
    const lag = new LagProbe()
    lag.watch(server.url)
    t.after(() => lag.stop())
    const api = new ApiClient(server.url)
    t.after(() => api.close())
    await Promise.all(Array.from({ length: 25 }, async (_, at) => {
      await api.accept(jobOf(quick.origin))
      if (at < 5) await api.accept(jobOf(slow.origin))
    }))
    await Promise.all([quick.waitFor(25), slow.waitFor(5)])
    assertWithinPace(quick.requests, 25, lag)
    assertWithinPace(slow.requests, 4, lag)
    const ms = (Number(quick.requests.at(-1)?.atUs) - Number(quick.requests[0]?.atUs)) / 1000
    assert.ok(ms < 2000, `25 jobs at 25 per second took ${ms} ms`)
    assert.equal(quick.requests[0]?.headers['x-ezthrottle-current-max-concurrent'], '9')
  })
})

describe('the start is refused, with the key\'s name and what was expected', { concurrency: 2 },
  () => {
    it('for a key that the file must not have', async () => {
      const text = await refusalOf([], { configYaml: 'prot: 4000\n' })
      assert.match(text, /prot/)
      assert.match(text, /sluice\.yaml/)
    })

    it('for a key within a table', async () => {
      const text = await refusalOf([], { configYaml: 'upstreams:\n  a.example: {rsp: 5}\n' })
      assert.match(text, /rsp/)
    })

    it('for a key that is there twice', async () => {
      const text = await refusalOf([], { configYaml: 'port: 1\nport: 2\n' })
      assert.match(text, /sluice\.yaml:2: .*unique/)
    })

    it('for a file that is no YAML, and one that is missing', async () => {
      assert.match(await refusalOf([], { configYaml: '{{' }), /sluice\.yaml/)
      assert.match(await refusalOf(['--config', 'nowhere.yaml']), /nowhere\.yaml/)
    })

    it('for an unknown environment variable', async () => {
      assert.match(await refusalOf([], { env: { SLUICE_PROT: '1' } }), /SLUICE_PROT/)
    })

    it('for an unknown flag', async () => {
      const run = new SluiceProcess(['serve', '--prot', '1'])
      assert.notEqual((await run.ended()).code, 0)
      assert.match(run.stderr, /--prot/)
    })

    it('for values that cannot be', async () => {
      const bad = [
        ['--port', '70000'], ['--memory', 'lots'], ['--shards', '0'], ['--default-rps', '0.4'],
        ['--default-max-concurrent', '0'], ['--grace', 'soon'], ['--log-level', 'loud'],
        ['--host', ''],
      ]
      const text = await refusalOf(bad.flat())
      for (const [flag] of bad) assert.ok(text.includes(String(flag)), `${flag} is named:\n${text}`)
      assert.match(text, /expected/)
    })

    it('for memory that is too little, with the least that would do', async () => {
      assert.match(await refusalOf(['--memory', '1MiB']), /memory.*at least \d+ ?MiB/s)
    })
  })

describe('the command line', { concurrency: 2 }, () => {
  it('explains itself, with flags, variables and defaults', async () => {
    for (const args of [['--help'], ['serve', '--help'], ['config', '--help']]) {
      const run = new SluiceProcess(args)
      assert.equal((await run.ended()).code, 0)
      assert.match(run.stdout, /Usage: sluice/)
      if (args.length > 1) assert.match(run.stdout, /SLUICE_BODY_LIMIT/)
    }
  })

  it('names its version', async () => {
    const run = new SluiceProcess(['--version'])
    assert.equal((await run.ended()).code, 0)
    assert.match(run.stdout, /^\d+\.\d+\.\d+\n$/)
  })
})
