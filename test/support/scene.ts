// The base of a black-box test file: one real server and one client for all of its tests, and HTTP
// or raw TCP upstreams that each test starts for itself.

import assert from 'node:assert/strict'
import { type TestContext, after, before } from 'node:test'
import { ApiClient } from './api-client.ts'
import { type ServerOptions, type TestServer, startServer } from './server.ts'
import { type Respond, RawUpstream, RefusingUpstream, TestUpstream } from './upstream.ts'

/** A pace high enough that no test waits for it. */
export const UNPACED = ['--default-rps', '100000', '--default-max-concurrent', '10000']

/**
 * A server for the tests of one file: started before the first, stopped after the last. It must
 * then still be ready, and end by itself.
 */
export class Scene {
  #server: TestServer | undefined
  #api: ApiClient | undefined

  /**
   * Must be called at the top level of a test file.
   * @param prepare is awaited once the server listens, before the first test.
   */
  constructor(options: ServerOptions = {}, prepare?: () => Promise<void> | void) {
    before(async () => {
      const flags = ['--grace', '0s', ...options.flags ?? []]
      this.#server = await startServer({ ...options, flags })
      this.#api = new ApiClient(this.#server.url)
      await prepare?.()
    })
    after(() => this.#endWell())
  }

  async #endWell(): Promise<void> {
    if (this.#server === undefined || this.#api === undefined) return
    const health = await this.api.health()
    await this.api.close()
    assert.equal(health.status, 'ok', `after all tests: ${this.server.stderr}`)
    assert.equal(await this.server.stop('SIGTERM'), 0, this.server.stderr)
  }

  get server(): TestServer {
    assert.ok(this.#server, 'the server is started before the first test')
    return this.#server
  }

  get api(): ApiClient {
    assert.ok(this.#api, 'the server is started before the first test')
    return this.#api
  }
}

/** An HTTP upstream, or a receiver of webhooks, for one test. */
export async function upstreamFor(t: TestContext, respond?: Respond): Promise<TestUpstream> {
  return startUpstream(t, respond === undefined ? {} : { respond })
}

/** The same with all options of an upstream. */
export async function startUpstream(
  t: TestContext, options: Parameters<typeof TestUpstream.start>[0] = {},
): Promise<TestUpstream> {
  const upstream = await TestUpstream.start(options)
  t.after(() => upstream.close())
  return upstream
}

/** A raw TCP upstream for one test. */
export async function rawUpstreamFor(
  t: TestContext, onData: Parameters<typeof RawUpstream.start>[0],
): Promise<RawUpstream> {
  const upstream = await RawUpstream.start(onData)
  t.after(() => upstream.close())
  return upstream
}

/** An origin that refuses every connection, for one test. */
export async function refusingOriginFor(t: TestContext): Promise<string> {
  const upstream = await RefusingUpstream.start()
  t.after(() => upstream.close())
  return upstream.origin
}

/** A response that is held until it is released, in the order of arrival. */
export class Gate {
  readonly #held: (() => void)[] = []
  #isOpen = false
  /** The maximum number held at once. */
  heldMax = 0

  /** For `respond`; released requests are answered with `then`. */
  hold(then: Respond): Respond {
    return (request, response, record) => {
      const answer = (): void => then(request, response, record)
      if (this.#isOpen) return answer()
      this.#held.push(answer)
      this.heldMax = Math.max(this.heldMax, this.#held.length)
    }
  }

  get heldCount(): number {
    return this.#held.length
  }

  /** Releases the oldest `count`. */
  release(count: number): void {
    for (const answer of this.#held.splice(0, count)) answer()
  }

  /** Releases all held requests and all later ones. */
  open(): void {
    this.#isOpen = true
    this.release(Infinity)
  }
}
