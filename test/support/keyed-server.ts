// A server with keys, which a test adds and revokes while it runs.

import assert from 'node:assert/strict'
import path from 'node:path'
import type { WishTexts } from '../../src/access/read-wish.ts'
import { callControl } from '../../src/control/client.ts'
import type { ControlRequest } from '../../src/control/commands.ts'
import { type Cleanup, type ServerOptions, startServer, type TestServer } from './server.ts'

/** A key that was added. */
export interface TestKey {
  readonly id: string
  readonly text: string
  /** The header that presents it. */
  readonly headers: { readonly 'x-sluice-key': string }
}

/** A running server. */
export class KeyedServer {
  readonly server: TestServer
  /** Of the callers' listener, on loopback. */
  readonly url: string

  private constructor(server: TestServer) {
    this.server = server
    this.url = `http://127.0.0.1:${server.port}`
  }

  /** Starts one without keys. @param t it is killed after this test, if given. */
  static async start(t?: Cleanup, options: ServerOptions = {}): Promise<KeyedServer> {
    return new KeyedServer(await startServer({
      ...options,
      flags: ['--grace', '0s', '--control', 'ctl.sock', '--keys-file', 'keys.json',
        ...options.flags ?? []],
    }, t))
  }

  /** @param wish the options of `sluice keys add`. */
  async add(wish: WishTexts): Promise<TestKey> {
    const { id, text } = await this.#call({ command: 'keys-add', ...wish })
    return { id: String(id), text: String(text), headers: { 'x-sluice-key': String(text) } }
  }

  async revoke({ id }: TestKey): Promise<void> {
    await this.#call({ command: 'keys-revoke', id })
  }

  async #call(
    request: ControlRequest & { readonly command: string },
  ): Promise<Readonly<Record<string, unknown>>> {
    const answer = await callControl(path.join(this.server.folder, 'ctl.sock'), request).answer
    assert.ok(answer.ok, answer.ok ? '' : answer.error)
    return answer.fields ?? {}
  }
}
