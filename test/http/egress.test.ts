// Where requests may go, seen where sockets are dialled: nothing refused is dialled, in whatever
// notation and behind whatever name, over TCP and TLS, for jobs and for webhooks.

import assert from 'node:assert/strict'
import dns from 'node:dns'
import { syncBuiltinESMExports } from 'node:module'
import { type TestContext, describe, it } from 'node:test'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { type Names, namesOf } from '../../shards/dns/names.ts'
import { Moves } from '../../shards/dns/moves.ts'
import { DnsSource } from '../../shards/dns/dns-source.ts'
import { NameFiles } from '../../shards/dns/name-files.ts'
import { Resolver } from '../../shards/dns/resolver.ts'
import { jobOf } from '../support/api-client.ts'
import { PRINT_DIALS, dialled } from '../support/dial-guard.ts'
import { type DnsServer, startDnsServer } from '../support/dns-server.ts'
import { Scene, UNPACED, startUpstream, upstreamFor } from '../support/scene.ts'
import { startTransport } from '../support/started-transport.ts'
import { LOCAL_CERTIFICATE } from '../support/tls.ts'
import { outgoing } from '../support/transport-recorder.ts'
import { VirtualTime } from '../support/virtual-clock.ts'

/** Hosts as callers may write them in a URL. */
const REFUSED_HOSTS = [
  '169.254.169.254', '169.254.169.254.', '2852039166', '0xa9fea9fe', '0xA9FEA9FE', '025177524776',
  '0xa9.0xfe.0xa9.0xfe', '0251.0376.0251.0376', '00251.00376.00251.00376', '0xa9.254.0251.254',
  '169.254.43518', '169.16689662', '0xa9.0xfea9fe', '169.254.0xa9fe', '%31%36%39.254.169.254',
  '１６９.254.169.254', '169。254。169。254', '169.254.169.254%2e', '①⑥⑨.②⑤④.169.254',
  '169.254.170.2', '100.100.100.200', '169.254.0.1', '169.254.255.255',
  '[::ffff:169.254.169.254]', '[::ffff:a9fe:a9fe]', '[::169.254.169.254]', '[::a9fe:a9fe]',
  '[0:0:0:0:0:ffff:a9fe:a9fe]', '[0000::FFFF:A9FE:A9FE]', '[::ffff:0:a9fe:a9fe]',
  '[64:ff9b::169.254.169.254]', '[64:ff9b::a9fe:a9fe]', '[2002:a9fe:a9fe::]', '[2002:a9fe:a9fe::1]',
  '[fd00:ec2::254]', '[fd00:0ec2:0:0:0:0:0:254]', '[FD00:EC2::254]', '[fe80::1]', '[febf::1]',
]

const originOf = (scheme: string, host: string): string => new URL(`${scheme}://${host}/`).origin

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
  const families = (): { v4: boolean; v6: boolean } => ({ v4: true, v6: false })
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
  it('is refused in every notation, over TCP and TLS', async (t) => {
    const { heard } = startTransport(t)
    let attemptId = 0
    for (const scheme of ['http', 'https']) {
      for (const host of REFUSED_HOSTS) {
        attemptId += 1
        const id = attemptId
        const addresses = await dialledIn(async () => {
          heard.send(id, outgoing(originOf(scheme, host)))
          assert.equal((await heard.waitFor(id)).reason, 'address_refused', `${scheme} ${host}`)
        })
        assert.deepEqual(addresses, [], `${scheme} ${host}`)
      }
    }
    assert.match(heard.of(1).detail ?? '', /169\.254\.169\.254 .*metadata/)
  })

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
    for (const address of ['127.0.0.1', '169.254.169.254', '127.0.0.1', '169.254.169.254']) {
      server.says.set('rebinds.test', { addresses: [address], ttlS: 1 })
      pass(2000)
      heard.closeIdle(origin)
      const id = attemptId += 1
      const addresses = await dialledIn(async () => {
        heard.send(id, outgoing(origin))
        const { body, reason } = await heard.waitFor(id)
        assert.equal(body ?? reason, address === '127.0.0.1' ? 'ok' : 'address_refused')
      })
      assert.deepEqual(addresses, address === '127.0.0.1' ? [address] : [])
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

describe('a server', () => {
  const scene = new Scene({
    flags: [...UNPACED, '--shards', '1', '--egress-deny', '127.0.0.5,127.64.0.0/10'],
    preload: new URL('../support/dial-guard.ts', import.meta.url).href,
    env: { [PRINT_DIALS]: '1' },
  })

  it('fails a refused job at once, gives its webhook up, and dials nothing', async (t) => {
    const hosts = ['169.254.169.254', '0251.0376.0251.0376', '[fd00:ec2::254]', '169.254.7.7',
      '127.0.0.5', '[::ffff:127.64.1.1]']
    for (const host of hosts) {
      for (const scheme of ['http', 'https']) {
        const job = await scene.api.run(jobOf(`${scheme}://${host}/latest`, { max_retries: 5 }))
        assert.deepEqual([job.status, job.result, job.attempts],
          ['failed', { status: 'failed', reason: 'address_refused' }, 0], host)
      }
    }
    const upstream = await upstreamFor(t)
    const jobId = await scene.api.accept(jobOf(upstream.origin, {
      delivery: undefined, webhook_url: 'http://[::ffff:169.254.169.254]/hook',
    }))
    let { webhook } = await scene.api.finished(jobId)
    while (webhook?.state === 'owed') webhook = (await scene.api.show(jobId)).body.webhook
    assert.deepEqual(webhook, { state: 'given_up', attempts: 1 })
    const dials = [...scene.server.stderr.matchAll(/^dialled (.*)$/gm)].map(([, at]) => at)
    assert.deepEqual(new Set(dials), new Set(['127.0.0.1']))
  })
})
