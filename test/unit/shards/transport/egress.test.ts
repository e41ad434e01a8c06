// Which addresses are refused: metadata services and link-local addresses, in every notation.

import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import { type LookupFunction, isIP } from 'node:net'
import { describe, it } from 'node:test'
import { Egress } from '../../../../shards/transport/egress.ts'
import { judgedLookup } from '../../../../shards/transport/judged-lookup.ts'
import type { EgressSettings } from '../../../../shards/wire/contract.ts'

const OPEN = { allow: [], deny: [], named: [], isOpen: true, upstreamsOnly: false }
const CLOSED = { ...OPEN, isOpen: false }

/** What the rules say of an address in place of a name. */
const judge = (address: string, settings: EgressSettings = OPEN): string | undefined =>
  new Egress(settings).judge(address, address, 80)

const METADATA = [
  '169.254.169.254', '169.254.170.2', '169.254.170.23', '100.100.100.200', '168.63.129.16',
  '192.0.0.192', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254', 'fd00:c1::a9fe:a9fe',
  'fd00:42::42', 'fd00:a9fe:a9fe::1',
  'fd00:0ec2:0000:0000:0000:0000:0000:0254', 'FD00:EC2:0::254', 'fd00:ec2::254%eth0',
  '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '0:0:0:0:0:ffff:a9fe:a9fe', '::FFFF:A9FE:A9FE',
  '::ffff:169.254.169.254%1', '::ffff:100.100.100.200',
  '::169.254.169.254', '::a9fe:a9fe', // IPv4-compatible
  '::ffff:0:169.254.169.254', '::ffff:0:a9fe:a9fe', // IPv4-translated
  '64:ff9b::169.254.169.254', '64:ff9b::a9fe:a9fe', // NAT64
  '64:ff9b:1::a9fe:a9fe', '64:ff9b:1:a9fe:a9:fe00::', // NAT64 for local use
  '64:ff9b:1:12a9:fe:a9fe::', '64:ff9b:1:1234:a9:fea9:fe00::',
  '2002:a9fe:a9fe::', '2002:a9fe:a9fe::1', '2002:a9fe:a9fe:1:2:3:4:5', // 6to4
  '2001:0:a9fe:a9fe::', '2001:0:1:2:0:0:5601:5601', // Teredo
  '2001:db8::5efe:a9fe:a9fe', '2001:db8::200:5efe:169.254.169.254', // ISATAP
]

const LINK_LOCAL = [
  '169.254.0.0', '169.254.0.1', '169.254.169.253', '169.254.255.255', '169.254.1.1%eth0',
  'fe80::', 'fe80::1', 'fe80::1%eth0', 'fe80::1%1', 'FE80::A', 'febf:ffff::1',
  'fe80:0000:0000:0000:0000:0000:0000:0001', 'fe80::5efe:8.8.8.8',
  '::ffff:169.254.1.1', '::169.254.1.1', '64:ff9b::169.254.1.1', '2002:a9fe:101::1',
  '64:ff9b::a9fe:0',
]

const ALLOWED = [
  '127.0.0.1', '::1', '0.0.0.0', '::', '10.0.0.1', '172.16.0.1', '192.168.0.1', '8.8.8.8',
  '169.253.255.255', '169.255.0.0', '168.254.169.254', '254.169.254.169',
  'fd00:ec2::253', 'fd00:ec2::', 'fd00::254', 'fd20:ce::253', 'fe7f::1', 'fec0::1',
  '::ffff:127.0.0.1', '64:ff9b::8.8.8.8', '2002:808:808::1', '2001:db8::a9fe:a9fe',
  '2606:4700::a9fe:a9fe', '2003:a9fe:a9fe::1', '100.100.100.201',
]

describe('an address', () => {
  for (const address of METADATA) {
    it(`of a metadata service is refused: ${address}`, () => {
      assert.equal(judge(address), 'metadata')
    })
  }
  for (const address of LINK_LOCAL) {
    it(`that is link-local is refused: ${address}`, () => {
      assert.equal(judge(address), 'link-local')
    })
  }
  for (const address of ALLOWED) {
    it(`that is neither may be dialled: ${address}`, () => {
      assert.equal(judge(address), undefined)
    })
  }
  for (const text of ['', 'localhost', '1.2.3', '2852039166', '0xa9fea9fe', '0251.0376.1.1', ':']) {
    it(`that cannot be read is refused: '${text}'`, () => {
      assert.equal(judge(text), 'not-an-address')
    })
  }
})

const BOTH: readonly LookupAddress[] = [
  { address: 'fd00:ec2::254', family: 6 }, { address: '192.0.2.1', family: 4 },
  { address: '169.254.169.254', family: 4 }, { address: '2001:db8::1', family: 6 },
]

/** What a socket would hear: an error's code, or the arguments. */
function look(found: readonly LookupAddress[], all: boolean): unknown {
  let heard: unknown
  const lookup: LookupFunction = (_name, options, callback) => {
    assert.equal(options.all, true, 'the first address may be refused')
    callback(null, [...found])
  }
  judgedLookup(lookup, new Egress(), 80)('name.test', { all }, (error, ...rest) => {
    heard = error === null ? rest : [error.code, error.message]
  })
  return heard
}

/** Addresses by the rule that refuses them. */
const RANGES: Readonly<Record<string, readonly string[]>> = {
  'private 10.0.0.0/8': ['10.0.0.1', '::ffff:10.0.0.1', '::10.0.0.1', '64:ff9b::10.0.0.1',
    '2002:a00:1::1'],
  'private 172.16.0.0/12': ['172.31.255.255'],
  'private 192.168.0.0/16': ['192.168.1.1'],
  'private fc00::/7': ['fd00::1', 'fc00::1'],
  'private fec0::/10': ['fec0::1'],
  'loopback 127.0.0.0/8': ['127.0.0.1', '127.255.255.254', '::ffff:127.0.0.1', '64:ff9b::7f00:1',
    '2002:7f00:1::'],
  'loopback 0.0.0.0/8': ['0.0.0.0', '0.1.2.3'],
  'loopback ::1/128': ['::1'],
  'loopback ::/128': ['::'],
  'cgnat 100.64.0.0/10': ['100.64.0.1', '100.127.255.255', '::ffff:100.64.0.1'],
  'multicast 224.0.0.0/4': ['224.0.0.1', '239.255.255.255'],
  'multicast ff00::/8': ['ff02::1'],
  'reserved 192.0.2.0/24': ['192.0.2.1'],
  'reserved 198.18.0.0/15': ['198.18.0.1'],
  'reserved 240.0.0.0/4': ['240.0.0.1'],
  'reserved 255.255.255.255/32': ['255.255.255.255'],
  'reserved 2001:db8::/32': ['2001:db8::1'],
  'reserved 100::/64': ['100::1'],
  reserved: ['100:0:0:1::1', '4000::1', 'fe00::1', '::1:0:0:0:1', '64:ff9b:2::8.8.8.8'],
}
const PUBLIC = ['8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '64:ff9b::8.8.8.8',
  '::ffff:8.8.8.8', '2002:808:808::1']

describe('an address, where not all are open', () => {
  for (const [rule, addresses] of Object.entries(RANGES)) {
    it(`is refused as ${rule}, unless it is allowed, and denied in any case`, () => {
      for (const address of addresses) {
        assert.equal(judge(address, CLOSED), rule, address)
        assert.equal(judge(address), undefined, address)
        assert.equal(judge(address, { ...CLOSED, allow: [address] }), undefined, address)
        const named = [isIP(address) === 6 ? `[${address}]` : address]
        assert.equal(judge(address, { ...CLOSED, named }), undefined, address)
        const both = { ...OPEN, allow: [address], named, deny: [address] }
        assert.equal(judge(address, both), `deny ${address}`, address)
      }
    })
  }

  it('is not refused where it is public', () => {
    for (const address of PUBLIC) assert.equal(judge(address, CLOSED), undefined, address)
  })

  it('is allowed and denied by ranges, also for the IPv4 address in it', () => {
    const settings = { ...CLOSED, allow: ['10.0.0.0/8', 'fd00::/8'], deny: ['10.1.0.0/16'] }
    const expected = [
      ['10.2.0.1', undefined], ['::ffff:10.2.0.1', undefined], ['64:ff9b::10.2.0.1', undefined],
      ['fd12::1', undefined], ['fc12::1', 'private fc00::/7'], ['11.0.0.1', undefined],
      ...['10.1.2.3', '::ffff:10.1.2.3', '2002:a01:203::'].map((address) =>
        [address, 'deny 10.1.0.0/16'] as const),
    ] as const
    for (const [address, rule] of expected) assert.equal(judge(address, settings), rule, address)
  })

  it('is allowed and denied by the name that has it', () => {
    const egress = new Egress({
      ...CLOSED, allow: ['*.internal', 'db.test'], deny: ['secret.internal', '*.deep.internal'],
      named: ['up.test', 'port.test:8080', '[::1]:81', '[fd00::1]:8080'],
    })
    const of = (host: string, port = 80): unknown => egress.judge('10.0.0.1', host, port)
    for (const host of ['a.internal', 'A.B.Internal.', 'db.test', 'DB.test..', 'up.test']) {
      assert.equal(of(host), undefined, host)
    }
    for (const host of ['internal', 'notinternal', 'x.db.test', 'x.up.test', 'port.test']) {
      assert.equal(of(host), 'private 10.0.0.0/8', host)
    }
    for (const host of ['secret.internal', 'Secret.internal.']) {
      assert.equal(of(host), 'deny secret.internal', host)
      assert.equal(egress.judgeHost(host, 80), 'deny secret.internal', 'before it is looked up')
    }
    assert.equal(of('x.deep.internal'), 'deny *.deep.internal')
    assert.equal(of('port.test', 8080), undefined)
    assert.equal(egress.judgeHost('port.test', 8080), undefined)
    for (const [address, port, rule] of [
      ['::1', 81, undefined], ['::1', 80, 'loopback ::1/128'],
      ['fd00::1', 8080, undefined], ['fd00::1:8080', 80, 'private fc00::/7'],
    ] as const) assert.equal(egress.judgeHost(address, port), rule, `[${address}]:${port}`)
  })

  it('is refused where only hosts in the tables are allowed, unless it is one', () => {
    const egress = new Egress({
      ...OPEN, allow: ['10.0.0.0/8', 'b.test'], deny: ['denied.test'], upstreamsOnly: true,
      named: ['a.test', 'port.test:8080', '10.0.0.1', 'denied.test'],
    })
    for (const [host, port, rule] of [
      ['a.test', 80, undefined], ['A.test.', 443, undefined], ['port.test', 8080, undefined],
      ['10.0.0.1', 80, undefined], ['denied.test', 80, 'deny denied.test'],
      ['b.test', 80, 'upstreams_only'], ['port.test', 80, 'upstreams_only'],
      ['8.8.8.8', 80, 'upstreams_only'], ['10.0.0.2', 80, 'upstreams_only'],
      ['::ffff:10.0.0.1', 80, 'upstreams_only'], ['169.254.169.254', 80, 'metadata'],
    ] as const) {
      assert.equal(egress.judgeHost(host, port), rule, `${host} ${port}`)
      const address = isIP(host) === 0 ? '8.8.8.8' : host
      assert.equal(egress.judge(address, host, port), rule, `${address} of ${host} ${port}`)
    }
  })

  it('that is refused always cannot be allowed', () => {
    for (const address of [...METADATA, ...LINK_LOCAL]) {
      const allow = ['0.0.0.0/0', '::/0', address.replace(/%.*/, ''), '*.test', 'name.test']
      const egress = new Egress({ ...OPEN, allow, named: ['name.test', address] })
      assert.notEqual(egress.judge(address, 'name.test', 80), undefined, address)
      assert.notEqual(egress.judge(address, address, 80), undefined, address)
    }
  })
})

describe('a judged look-up', () => {
  it('leaves out the addresses that are refused, in either form', () => {
    assert.deepEqual(look(BOTH, true), [[BOTH[1], BOTH[3]]])
    assert.deepEqual(look(BOTH, false), ['192.0.2.1', 4])
  })

  it('fails when none is left, with the rule\'s name', () => {
    for (const all of [true, false]) {
      assert.deepEqual(look([{ address: 'fd00:ec2::254', family: 6 }], all),
        ['ADDRESS_REFUSED', 'metadata'])
    }
  })

  it('passes a failure on', () => {
    const failure = Object.assign(new Error('none'), { code: 'ENOTFOUND' })
    const failing: LookupFunction = (_name, _options, callback) => callback(failure, [])
    judgedLookup(failing, new Egress(), 80)('name.test', {}, (error) => {
      assert.equal(error, failure)
    })
  })
})
