// A reload of a real server: new code and new settings under load, nothing closed, nothing lost,
// and nothing changed where a part of it is wrong.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { Agent, type IncomingMessage, request } from 'node:http'
import path from 'node:path'
import { type TestContext, describe, it } from 'node:test'
import { DOOR_FORM } from '../../src/door/door-tables.ts'
import { ApiClient, jobOf } from '../support/api-client.ts'
import { type CommandEnd, runCommand } from '../support/command.ts'
import { EventStream } from '../support/event-stream.ts'
import { ProjectCopy } from '../support/project-copy.ts'
import { Gate, UNPACED, upstreamFor } from '../support/scene.ts'
import { type ServerOptions, type TestServer, startServer } from '../support/server.ts'
import { SocketClient } from '../support/socket-client.ts'

interface Stage {
  readonly server: TestServer
  readonly api: ApiClient
  readonly reload: () => Promise<CommandEnd>
}

async function start(t: TestContext, options: ServerOptions = {}): Promise<Stage> {
  const flags = [
    '--grace', '0s', '--shards', '2', '--control', 'control.sock', ...options.flags ?? [],
  ]
  const server = await startServer({ ...options, flags }, t)
  const api = new ApiClient(server.url)
  t.after(() => api.close())
  // From elsewhere, since the command itself stops at a bad sluice.yaml where it is started.
  const reload = (): Promise<CommandEnd> =>
    runCommand('/nowhere', ['reload', '--control', path.join(server.folder, 'control.sock')])
  return { server, api, reload }
}

/** A reload that must be done. */
async function reloadWell({ reload, server }: Stage): Promise<void> {
  const { code, stderr, stdout } = await reload()
  assert.deepEqual([code, stderr], [0, ''], server.stderr)
  assert.match(stdout, /^reloaded in \d+ ms\n$/)
}

/** A reload that must not be done; why. */
async function reloadBadly({ api, reload, server }: Stage): Promise<string> {
  const { code, stderr } = await reload()
  assert.equal(code, 1)
  const { last_reload: last } = await api.health()
  assert.equal(last?.ok, false)
  assert.match(server.stderr, /the reload is refused/)
  assert.equal(stderr, `sluice: ${last?.reason}\n`)
  return stderr
}

/** Posts jobs on connections that stay open, until it is stopped. */
class KeepAliveLoad {
  readonly statuses = new Map<number, number>()
  /** Connections that were ever made. */
  connections = 0
  keys = 0
  readonly #agents: Agent[] = []
  #isOver = false
  readonly #loops: Promise<void>[]

  constructor(port: number, url: string, connections: number) {
    this.#loops = Array.from({ length: connections }, async (_, user) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      this.#agents.push(agent)
      while (!this.#isOver) await this.#post(port, agent, `${url}/${this.keys++}`, `user-${user}`)
    })
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#loops)
    for (const agent of this.#agents) agent.destroy()
  }

  async #post(port: number, agent: Agent, url: string, user: string): Promise<void> {
    const call = request({
      port, host: '127.0.0.1', agent, method: 'POST', path: '/jobs',
      headers: { 'content-type': 'application/json' },
    })
    call.end(JSON.stringify(jobOf(url, { user_id: user })))
    const [response] = await once(call, 'response') as [IncomingMessage]
    if (!call.reusedSocket) this.connections++
    for await (const chunk of response) void chunk
    const status = Number(response.statusCode)
    this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1)
  }
}

const HEADER = '\'X-Sluice-Attempt\', String(load.attempt),'
const SENTENCE = '\'there is no such path\''

describe('a reload', { concurrency: 2 }, () => {
  it('runs what is on disk, and nobody who is connected notices', async (t) => {
    const copy = new ProjectCopy(t)
    const stage = await start(t, { root: copy.root, flags: UNPACED })
    const { api, server } = stage
    const gate = new Gate()
    const held = await upstreamFor(t, gate.hold((_request, response) => response.end('late')))
    const upstream = await upstreamFor(t)
    const jobId = await api.accept(jobOf(held.origin))
    const stream = await EventStream.join(server.url, jobId)
    await stream.waitFor('dispatching')
    const socket = await SocketClient.open(server.url)
    const watched = await socket.accept(jobOf(held.origin, { ref: 1, watch: true }))
    const load = new KeepAliveLoad(server.port, upstream.origin, 4)
    await upstream.waitFor(100)

    let ref = 2
    let sent = 0
    const socketLoad = async (): Promise<void> => {
      const jobs = Array.from({ length: 50 },
        () => jobOf(`${upstream.origin}/ws-${sent++}`, { ref: ref++ }))
      for (const entry of await socket.enqueue(jobs)) assert.ok(entry.job_id, JSON.stringify(entry))
    }
    copy.edit('src/http/routes.ts', SENTENCE, '\'there is still no such path\'')
    copy.edit('shards/signals/queue-headers.ts', HEADER,
      `'X-Sluice-Attempt', \`new-\${load.attempt}\`,`)
    copy.edit('package.json', '"version": "0.1.0"', '"version": "9.9.9"')
    for (let round = 1; round <= 3; round++) {
      await Promise.all([reloadWell(stage), socketLoad()])
      await upstream.waitFor(upstream.requests.length + 50)
    }
    await socketLoad()
    const missing = await api.send('GET', '/nowhere')
    assert.equal(missing.body.error, 'there is still no such path')
    await load.stop()
    gate.open()
    await stream.ended()
    assert.equal(stream.events.at(-1)?.name, 'completed')
    await socket.take('completed', (message) => message['job_id'] === watched)

    assert.equal(load.connections, 4, 'no connection was closed')
    assert.deepEqual([...load.statuses.keys()], [201], 'no request was refused')
    await upstream.waitFor(load.keys + sent)
    const paths = new Set(upstream.requests.map((sentRequest) => sentRequest.path))
    assert.deepEqual([paths.size, upstream.requests.length],
      [load.keys + sent, load.keys + sent], 'each job was sent once')
    assert.equal(held.requests.length, 2)
    assert.equal(upstream.requests.at(-1)?.headers['x-sluice-attempt'], 'new-1')
    const health = await api.health()
    assert.deepEqual([health.version, health.reloads, health.last_reload?.ok], ['9.9.9', 3, true])
    assert.deepEqual(health.shards.map(({ restarts }) => restarts), [0, 0])
    assert.equal(await server.stop(), 0, server.stderr)
  })

  it('is refused where the new code does not load, and can be tried again', async (t) => {
    const copy = new ProjectCopy(t)
    const stage = await start(t, { root: copy.root })
    const { api } = stage
    const undo = copy.edit('src/http/routes.ts', SENTENCE, 'there is no quote')
    assert.match(await reloadBadly(stage), /code does not load: src\/http\/routes\.ts:\d+: /)
    assert.equal((await api.send('GET', '/nowhere')).body.error, 'there is no such path')
    undo()
    const noShard = copy.edit('shards/signals/queue-headers.ts', HEADER, 'there is no quote')
    await reloadBadly(stage)
    noShard()
    const other = DOOR_FORM + 1
    const otherForm =
      copy.edit('src/door/door-tables.ts', `DOOR_FORM = ${DOOR_FORM}`, `DOOR_FORM = ${other}`)
    assert.match(await reloadBadly(stage),
      new RegExp(`in form ${other}, not ${DOOR_FORM}: it needs a restart`))
    otherForm()
    copy.edit('src/door/door-logic.ts', '    this.#parts = parts\n', '    null.parts = parts\n')
    assert.match(await reloadBadly(stage),
      /does not start: src\/door\/door-logic\.ts:\d+: TypeError/)
    assert.equal((await api.health()).reloads, 0)
    assert.equal(await stage.server.stop(), 0, stage.server.stderr)
  })
})

describe('the settings of a reload', { concurrency: 2 }, () => {
  it('take effect where they can', async (t) => {
    const stage = await start(t, {
      configYaml: 'batch_limit: 5\ndefaults: {max_concurrent: 7}\nlog_level: error\n' +
        'key_mismatch: duplicate\n',
    })
    const { api, server } = stage
    const [known, unknown] = [await upstreamFor(t), await upstreamFor(t)]
    const limit = 'x-ezthrottle-current-max-concurrent'
    const asks = { 'X-Aqueduct-Account-Queue': 'enabled' }
    const job = jobOf(known.origin)
    await api.finished(await api.accept(job, asks))
    const reused = { ...job, method: 'PUT' }
    assert.equal((await api.post(reused)).body.duplicate, true)
    assert.equal(known.requests[0]?.headers[limit], '7')
    writeFileSync(path.join(server.folder, 'sluice.yaml'),
      'batch_limit: 1\nlog_level: info\n' +
      'defaults: {max_concurrent: 8, account_queue_by_caller: on}\n')
    server.signal('SIGHUP')
    await server.waitFor('stderr', /reloaded code and configuration/)
    assert.equal((await api.post(reused)).body.code, 'idempotent_key_reused')
    await api.run(jobOf(unknown.origin))
    await api.finished(await api.accept(jobOf(known.origin), asks))
    assert.equal(unknown.requests[0]?.headers[limit], '8')
    assert.equal(known.requests[1]?.headers[limit], '7', 'what an upstream has said stays')
    assert.deepEqual(
      known.requests.map(({ headers }) => headers['x-ezthrottle-current-queue-mode']),
      ['shared', 'account'], 'callers are allowed to ask from now on')
    const jobs = [jobOf(known.origin), jobOf(known.origin)]
    const batch = await api.send('POST', '/jobs/batch', {
      headers: { 'content-type': 'application/json' }, body: JSON.stringify(jobs),
    })
    assert.match(batch.bytes.toString(), /too_many_jobs/)
    assert.equal(await server.stop(), 0)
  })

  it('are refused as at the start when they are wrong, and named when they need a restart',
    async (t) => {
      const stage = await start(t, { configYaml: 'batch_limit: 5\n' })
      const write = (text: string): void =>
        writeFileSync(path.join(stage.server.folder, 'sluice.yaml'), text)
      write('prot: 4000\nbatch_limit: many\n')
      const wrong = await reloadBadly(stage)
      assert.match(wrong, /^sluice: 2 problems in the configuration\n/)
      assert.match(wrong, /prot \(file sluice\.yaml:1\): not a setting; did you mean port\?/)
      assert.match(wrong, /batch_limit \(file sluice\.yaml:2\): got "many", expected a whole/)
      write('{{')
      assert.match(await reloadBadly(stage), /sluice\.yaml/)
      write('host: 127.0.0.2\nmemory: 129MiB\nbatch_limit: 6\nca_file: nowhere.pem\n')
      const stuck = await reloadBadly(stage)
      assert.match(stuck, /host .*got 127\.0\.0\.2, expected 127\.0\.0\.1 as .* needs a restart/)
      assert.doesNotMatch(stuck, /memory/, 'a flag overrules it, and that has not changed')
      write('batch_limit: 6\nca_file: nowhere.pem\n')
      assert.match(await reloadBadly(stage), /ca_file .*nowhere\.pem/)
      write('batch_limit: 6\n')
      await reloadWell(stage)
      const { last_reload: last, reloads } = await stage.api.health()
      assert.deepEqual([last?.ok, last?.reason, reloads], [true, undefined, 1])
      assert.equal(await stage.server.stop(), 0)
    })
})
