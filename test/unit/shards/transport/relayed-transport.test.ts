// Requests that an old thread relays to a new one, over a real channel: each is told once, to the
// end, and to nobody after it was aborted, whatever was under way in the channel.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { MessageChannel } from 'node:worker_threads'
import type { Micros } from '../../../../shards/base/units.ts'
import { RelayedTransport } from '../../../../shards/transport/relayed-transport.ts'
import { LINE_NO_MEMORY, type TransportEvents } from '../../../../shards/transport/transport.ts'
import { ScriptedTransport, type Sent } from '../../../support/scripted-transport.ts'

const REQUEST = {
  origin: 'http://a.test', path: '/', method: 'GET', headers: [], body: null,
}

const DESTINATION = 5

/** Keeps what it is told, as words. */
class Listener implements TransportEvents {
  readonly told: string[] = []
  #heard = (): void => {}

  free(to: number): void { this.#tell(`free ${to}`) }
  unreachable(to: number, reason: string): void { this.#tell(`unreachable ${to} ${reason}`) }
  written(attemptId: number): void { this.#tell(`written ${attemptId}`) }
  returned(attemptId: number): void { this.#tell(`returned ${attemptId}`) }
  head(attemptId: number, status: number, headers: object): void {
    this.#tell(`head ${attemptId} ${status} ${JSON.stringify(headers)}`)
  }

  end(attemptId: number, body: Uint8Array, truncated: boolean): void {
    this.#tell(`end ${attemptId} ${Buffer.from(body).toString()} ${truncated}`)
  }

  failed(attemptId: number, reason: string): void { this.#tell(`failed ${attemptId} ${reason}`) }

  async waitFor(count: number): Promise<string[]> {
    while (this.told.length < count) {
      await new Promise<void>((resolve) => { this.#heard = resolve })
    }
    return this.told
  }

  #tell(word: string): void {
    this.told.push(word)
    this.#heard()
  }
}

/** One thread: its sockets, its transport, and who listens. */
class Thread {
  readonly sockets = new ScriptedTransport(() => 0 as Micros)
  readonly transport = new RelayedTransport(this.sockets)
  readonly listener = new Listener()
  isRelayEnded = false

  constructor() {
    this.sockets.writes = 'later'
    this.transport.start(this.listener)
  }

  send(attemptId: number): Sent {
    this.transport.send(attemptId, DESTINATION, REQUEST)
    return this.sockets.sent.at(-1) as Sent
  }
}

function handOver(t: TestContext, from: Thread, to: Thread, attemptIds: readonly number[]) {
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  const relay = from.transport.relayTo(port1, attemptIds)
  to.transport.receiveFrom(port2, attemptIds, () => { to.isRelayEnded = true })
  const over = relay.over.then(() => port1.close())
  return { port: port1, relay, over }
}

describe('a relay', () => {
  it('tells the new thread all that becomes of a request, and the old one nothing', async (t) => {
    const [before, after] = [new Thread(), new Thread()]
    const [one, two] = [before.send(1), before.send(2)]
    const { over } = handOver(t, before, after, [1, 2])
    before.sockets.write(one)
    const body = Buffer.from('..whole..').subarray(2, 7)
    before.sockets.respond(one, { status: 404, headers: { 'x-a': ['1', '2'] }, body })
    before.sockets.fail(two, 'tls_error')
    assert.deepEqual(await after.listener.waitFor(4),
      ['written 1', 'head 1 404 {"x-a":["1","2"]}', 'end 1 whole false', 'failed 2 tls_error'])
    await over
    assert.ok(after.isRelayEnded)
    assert.deepEqual(before.listener.told, [])
  })

  it('gives a request back that never went out, which may be sent again at once', async (t) => {
    const [before, after] = [new Thread(), new Thread()]
    const sent = before.send(1)
    const { over } = handOver(t, before, after, [1])
    before.sockets.giveBack(sent)
    assert.deepEqual(await after.listener.waitFor(1), ['returned 1'])
    await over
    assert.ok(after.isRelayEnded)
    after.sockets.respond(after.send(1), { body: 'again' })
    assert.equal(after.listener.told.at(-1), 'end 1 again false')
  })

  it('leaves connections to the thread that has them', async (t) => {
    const [before, after] = [new Thread(), new Thread()]
    before.transport.connect(DESTINATION, REQUEST.origin, 3, 1000, 0)
    assert.deepEqual(before.sockets.asked,
      [{ to: DESTINATION, origin: REQUEST.origin, count: 3 }])
    before.sockets.free(DESTINATION)
    before.sockets.unreachable(DESTINATION, 'timeout')
    assert.deepEqual(before.listener.told, ['free 5', 'unreachable 5 timeout'])
    const sent = before.send(1)
    handOver(t, before, after, [1])
    before.sockets.free(DESTINATION)
    before.sockets.unreachable(DESTINATION, 'timeout')
    after.sockets.line = LINE_NO_MEMORY
    assert.equal(after.transport.lineTo(DESTINATION), LINE_NO_MEMORY)
    after.sockets.free(DESTINATION)
    before.sockets.fail(sent, 'tls_error')
    assert.deepEqual(await after.listener.waitFor(2), ['free 5', 'failed 1 tls_error'])
    assert.equal(before.listener.told.length, 2)
  })

  it('is over at once when nothing is in flight', async (t) => {
    const [before, after] = [new Thread(), new Thread()]
    const { over } = handOver(t, before, after, [])
    await over
    assert.ok(after.isRelayEnded)
  })

  it('lets the new thread send by itself meanwhile', async (t) => {
    const [before, after] = [new Thread(), new Thread()]
    const old = before.send(1)
    handOver(t, before, after, [1])
    after.sockets.respond(after.send(0), { body: 'own' })
    assert.deepEqual(after.listener.told, ['head 0 200 {}', 'end 0 own false'])
    assert.throws(() => after.send(1), /in flight in the thread before/)
    before.sockets.respond(old, { body: 'old' })
    assert.equal((await after.listener.waitFor(4))[3], 'end 1 old false')
  })

  it('passes an abort on, and is not heard of that request again', async (t) => {
    const [before, after] = [new Thread(), new Thread()]
    const [one, two, three] = [before.send(1), before.send(2), before.send(3)]
    const { over } = handOver(t, before, after, [1, 2, 3])
    before.sockets.respond(two, { body: 'under way when it is aborted' })
    after.transport.abort(1)
    after.transport.abort(2)
    const again = after.send(2)
    after.sockets.respond(again, { body: 'another request by that id' })
    before.sockets.respond(three, { body: 'last' })
    await over
    assert.ok(one.isAborted)
    assert.ok(!two.isAborted)
    assert.deepEqual(await after.listener.waitFor(4), ['head 2 200 {}',
      'end 2 another request by that id false', 'head 3 200 {}', 'end 3 last false'])
  })

  it('fails what is left when the old thread ends', async (t) => {
    const [before, after] = [new Thread(), new Thread()]
    before.sockets.respond(before.send(1), {})
    before.send(2)
    before.send(3)
    const { port } = handOver(t, before, after, [2, 3])
    port.close()
    assert.deepEqual(await after.listener.waitFor(2),
      ['failed 2 connection_error', 'failed 3 connection_error'])
    assert.ok(after.isRelayEnded)
  })

  it('is over when the new thread ends', async (t) => {
    const [before, after] = [new Thread(), new Thread()]
    before.send(1)
    const { over } = handOver(t, before, after, [1])
    await after.transport.close()
    await over
    assert.deepEqual(after.listener.told, [])
  })

  it('goes on through one more thread', async (t) => {
    const [first, second, third] = [new Thread(), new Thread(), new Thread()]
    const [one, two] = [first.send(1), first.send(2)]
    const early = handOver(t, first, second, [1, 2])
    const three = second.send(3)
    const late = handOver(t, second, third, [1, 2, 3])
    first.sockets.respond(one, { body: 'from the first' })
    second.sockets.respond(three, { body: 'from the second' })
    await third.listener.waitFor(4)
    third.transport.abort(2)
    await Promise.all([early.over, late.over])
    assert.ok(two.isAborted)
    assert.deepEqual(third.listener.told.filter((word) => word.startsWith('end')).toSorted(),
      ['end 1 from the first false', 'end 3 from the second false'])
    assert.deepEqual(second.listener.told, [])
  })
})
