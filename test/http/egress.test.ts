// Where requests may go, seen where sockets are dialled: nothing refused is dialled, behind
// whatever name, over TCP and TLS. For notations of addresses see egress-server.test.ts.

import assert from 'node:assert/strict'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { type TestContext, describe, it } from 'node:test'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { DnsSource } from '../../shards/dns/dns-source.ts'
import { Moves } from '../../shards/dns/moves.ts'
import { NameFiles } from '../../shards/dns/name-files.ts'
import { type Names, namesOf } from '../../shards/dns/names.ts'
import { Resolver } from '../../shards/dns/resolver.ts'
import { dialled } from '../support/dial-guard.ts'
import { type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { startUpstream, upstreamFor } from '../support/scene.ts'
import { startTransport } from '../support/started-transport.ts'
import { LOCAL_CERTIFICATE } from '../support/tls.ts'
import { outgoing } from '../support/transport-recorder.ts'
import { VirtualTime } from '../support/virtual-clock.ts'

/** What was dialled while `run` ran. */
async function dialledIn(run: () => Promise<void>): Promise<string[]> {
  dialled.length = 0
  await run()
  return [...dialled]
}

interface NameScene {
  readonly server: DnsServer
  readonly names: Names
  /** Lets so much time pass for whoever keeps addresses. */
  readonly pass: (ms: number) => void
}

/** Our own resolver in virtual time, at a name server of the test. */
async function startNames(t: TestContext): Promise<NameScene> {
  const server = await startDnsServer(t)
  const time = new VirtualTime()
  const families = (): { v4: boolean; v6: boolean } => ({ v4: true, v6: true })
  const files = new NameFiles({
    hostsPath: '/dev/null', resolvConfPath: '/dev/null', clock: time.clock(),
  })
  const source = new DnsSource({ files, servers: [server.address], families })
  const resolver = new Resolver({ source, clock: time.clock(), families })
  const names = {
    resolver, moves: new Moves(resolver, time.clock()), close: () => resolver.close(),
  }
  t.after(() => names.close())
  const pass = (ms: number): void => time.advanceTo((time.nowUs() + msToUs(ms)) as Micros)
  return { server, names, pass }
}

describe('an address in a URL', () => {
  it('is dialled if it may be', async (t) => {
    const { heard } = startTransport(t)
    const upstream = await upstreamFor(t)
    const addresses = await dialledIn(async () => {
      heard.send(1, outgoing(upstream.origin))
      assert.equal((await heard.waitFor(1)).body, 'ok')
    })
    assert.deepEqual(addresses, ['127.0.0.1'])
  })
})

describe('a name', () => {
  it('whose addresses are all refused is not dialled, over TCP and TLS', async (t) => {
    const { server, names } = await startNames(t)
    server.says.set('meta.test', { addresses: ['169.254.169.254', '169.254.1.1'] })
    const { heard } = startTransport(t, { names })
    const addresses = await dialledIn(async () => {
      heard.send(1, outgoing('http://meta.test'))
      heard.send(2, outgoing('https://meta.test.'))
      assert.equal((await heard.waitFor(1)).reason, 'address_refused')
      assert.equal((await heard.waitFor(2)).reason, 'address_refused')
    })
    assert.deepEqual(addresses, [])
    assert.deepEqual(new Set(server.asked), new Set(['meta.test']))
  })

  it('with one good address among refused ones is dialled at that alone', async (t) => {
    const { server, names } = await startNames(t)
    server.says.set('mixed.test', { addresses: ['169.254.169.254', '127.0.0.1', '169.254.1.1'] })
    const plain = await upstreamFor(t)
    const secure = await startUpstream(t, { certificate: LOCAL_CERTIFICATE })
    const { heard } = startTransport(t, { names })
    const at = ({ origin }: { origin: string }): string => origin.replace('127.0.0.1', 'mixed.test')
    const addresses = await dialledIn(async () => {
      for (const attemptId of [1, 2, 3]) { // whichever begins
        heard.send(attemptId, outgoing(at(plain)))
        assert.equal((await heard.waitFor(attemptId)).body, 'ok')
        heard.closeIdle(at(plain))
      }
      heard.send(4, outgoing(at(secure)))
      // Its certificate is not for this name.
      assert.equal((await heard.waitFor(4)).reason, 'tls_error')
    })
    assert.deepEqual(new Set(addresses), new Set(['127.0.0.1']))
  })

  it('that answers differently the next time is judged again, at every dial', async (t) => {
    const { server, names, pass } = await startNames(t)
    const upstream = await upstreamFor(t)
    const origin = upstream.origin.replace('127.0.0.1', 'rebinds.test')
    const { heard } = startTransport(t, { names })
    let attemptId = 0
    for (const answer of [
      ['127.0.0.1'], ['169.254.169.254'], ['fd00:ec2::254', '127.0.0.1', 'fe80::1'],
      ['fd00:ec2::254'], ['127.0.0.1'], ['::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe'],
    ]) {
      server.says.set('rebinds.test', { addresses: answer, ttlS: 1 })
      const allowed = answer.filter((address) => address === '127.0.0.1')
      pass(2000)
      heard.closeIdle(origin)
      const id = attemptId += 1
      const addresses = await dialledIn(async () => {
        heard.send(id, outgoing(origin))
        const { body, reason } = await heard.waitFor(id)
        assert.equal(body ?? reason, allowed.length > 0 ? 'ok' : 'address_refused')
      })
      assert.deepEqual(addresses, allowed)
    }
  })

  for (const kind of ['of --dns system', 'of sockets themselves']) {
    it(`is judged also in the look-up ${kind}`, async (t) => {
      const upstream = await upstreamFor(t)
      const answer = (
        name: string, _options: object,
        callback: (error: null, found: dns.LookupAddress[]) => void,
      ): void => {
        const good = name === 'mixed.test' ? [{ address: '127.0.0.1', family: 4 }] : []
        const found = [{ address: '169.254.169.254', family: 4 }, ...good]
        queueMicrotask(() => callback(null, found))
      }
      const mocked = t.mock.method(dns, 'lookup', answer as never)
      syncBuiltinESMExports()
      t.after(() => {
        mocked.mock.restore()
        syncBuiltinESMExports()
      })
      const time = new VirtualTime()
      const isSystem = kind === 'of --dns system'
      const { heard } = startTransport(t,
        isSystem ? { names: namesOf({ dns: 'system' }, () => time.clock()) } : {})
      const addresses = await dialledIn(async () => {
        heard.send(1, outgoing('http://meta.test'))
        heard.send(2, outgoing('https://meta.test'))
        heard.send(3, outgoing(upstream.origin.replace('127.0.0.1', 'mixed.test')))
        assert.equal((await heard.waitFor(1)).reason, 'address_refused')
        assert.equal((await heard.waitFor(2)).reason, 'address_refused')
        assert.equal((await heard.waitFor(3)).body, 'ok')
      })
      assert.deepEqual(addresses, ['127.0.0.1'])
      assert.ok(mocked.mock.callCount() >= 2, 'one for each name')
    })
  }
})

describe('where not all addresses are open', () => {
  it('only what settings allow is dialled, at the port that they name', async (t) => {
    const { server, names } = await startNames(t)
    const upstream = await upstreamFor(t)
    const other = await upstreamFor(t)
    const { host } = new URL(upstream.origin)
    server.says.set('home.test', { addresses: ['10.0.0.1', '127.0.0.1'] })
    server.says.set('a.internal', { addresses: ['127.0.0.1'] })
    server.says.set('b.internal', { addresses: ['127.0.0.1'] })
    const { heard } = startTransport(t, { names, egress: {
      allow: ['*.internal'], deny: ['b.internal'], named: [host], isOpen: false,
      upstreamsOnly: false,
    } })
    const expected = [
      [upstream.origin, 'ok'], [other.origin, 'address_refused'],
      ['http://home.test', 'address_refused'], ['https://10.0.0.1', 'address_refused'],
      [other.origin.replace('127.0.0.1', 'a.internal'), 'ok'],
      [other.origin.replace('127.0.0.1', 'b.internal'), 'address_refused'],
    ] as const
    const addresses = await dialledIn(async () => {
      for (const [at, [origin, told]] of expected.entries()) {
        heard.send(at, outgoing(origin))
        const { body, reason } = await heard.waitFor(at)
        assert.equal(body ?? reason, told, origin)
      }
    })
    assert.deepEqual(addresses, ['127.0.0.1', '127.0.0.1'])
  })
})
