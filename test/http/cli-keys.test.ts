// `sluice submit` and `sluice watch` with API keys, against a real server.

import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { runProgram } from '../../src/cli/program.ts'
import { KeyedServer, type TestKey } from '../support/keyed-server.ts'
import { Gate, upstreamFor } from '../support/scene.ts'
import { SocketClient } from '../support/socket-client.ts'

/** A command that runs in this process. */
class Running {
  stdout = ''
  stderr = ''
  readonly code: Promise<number>
  readonly #isShown = Promise.withResolvers<void>()

  constructor(url: string, key: TestKey, args: readonly string[]) {
    this.code = runProgram([...args, '--server', url], {
      env: { SLUICE_KEY: key.text }, cwd: '/', stderr: (text) => { this.stderr += text },
      stdout: (text) => {
        this.stdout += text
        this.#isShown.resolve()
      },
    })
  }

  /** Resolves at the first output. */
  get shown(): Promise<void> {
    return this.#isShown.promise
  }

  async ended(): Promise<[code: number, stderr: string]> {
    return [await this.code, this.stderr]
  }
}

describe('a command with a key', () => {
  let keyed: KeyedServer
  before(async () => { keyed = await KeyedServer.start() })
  after(() => keyed.server.stop())
  const run = (key: TestKey, ...args: string[]): Running => new Running(keyed.url, key, args)

  it('ends with the server\'s sentence when the key is revoked or refused', async (t) => {
    const gate = new Gate()
    const upstream = await upstreamFor(t, gate.hold((_, response) => response.end()))
    t.after(() => gate.open())
    const { url } = keyed
    const job = ['submit', '--url', upstream.origin]
    const [key, single, blind] = [await keyed.add({ name: 'a' }),
      await keyed.add({ name: 'b', sockets: '1' }),
      await keyed.add({ name: 'c', scopes: 'operate' })]

    const submitted = run(key, ...job)
    assert.deepEqual(await submitted.ended(), [0, ''])
    const watching = run(key, 'watch', submitted.stdout.trim())
    await watching.shown
    const waiting = run(key, ...job, '--wait')
    await upstream.waitFor(2)
    await keyed.revoke(key)
    const revoked = 'sluice: the key has been revoked or has expired meanwhile\n'
    assert.deepEqual(await watching.ended(), [1, revoked])
    assert.deepEqual(await waiting.ended(), [1, revoked])

    const cannot = `sluice: cannot connect to ${url}: `
    const refused = async (by: TestKey): Promise<string> => {
      const [code, stderr] = await run(by, ...job).ended()
      assert.equal(code, 1)
      assert.ok(stderr.startsWith(cannot), stderr)
      return stderr.slice(cannot.length)
    }
    assert.match(await refused(key), /key .*\(invalid_key\)\n$/)
    const [code, stderr] = await run(blind, ...job).ended()
    assert.equal(code, 1)
    assert.match(stderr, /^sluice: the key does not have the scope submit\n$/)
    const socket = await SocketClient.open(url, 'json', { headers: single.headers })
    assert.match(await refused(single), /\(key_sockets\)\n$/)
    socket.ws.close()
  })

  it('needs --user if the key is for many users, as the help says', async (t) => {
    const upstream = await upstreamFor(t)
    const key = await keyed.add({ name: 'app', users: 'many' })
    const job = ['submit', '--url', upstream.origin]
    assert.deepEqual(await run(key, ...job).ended(),
      [1, 'sluice: user_id is required (missing_field, user_id)\n'])
    assert.deepEqual(await run(key, ...job, '--user', 'ann').ended(), [0, ''])
    const help = run(key, 'submit', '--help')
    assert.equal(await help.code, 0)
    assert.match(help.stdout.replaceAll(/\s+/g, ' '),
      /--user <id> .* one that was added with --users many has none and needs --user\)/)
  })
})
