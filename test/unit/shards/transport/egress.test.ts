// Which addresses are refused: metadata services and link-local addresses, in every notation.

import assert from 'node:assert/strict'
import type { LookupAddress } from 'node:dns'
import type { LookupFunction } from 'node:net'
import { describe, it } from 'node:test'
import { judge } from '../../../../shards/transport/egress.ts'
import { judgedLookup } from '../../../../shards/transport/judged-lookup.ts'

const METADATA = [
  '169.254.169.254', '169.254.170.2', '169.254.170.23', '100.100.100.200', '168.63.129.16',
  '192.0.0.192', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254',
  'fd00:0ec2:0000:0000:0000:0000:0000:0254', 'FD00:EC2:0::254', 'fd00:ec2::254%eth0',
  '::ffff:169.254.169.254', '::ffff:a9fe:a9fe', '0:0:0:0:0:ffff:a9fe:a9fe', '::FFFF:A9FE:A9FE',
  '::ffff:169.254.169.254%1', '::ffff:100.100.100.200',
  '::169.254.169.254', '::a9fe:a9fe', // IPv4-compatible
  '::ffff:0:169.254.169.254', '::ffff:0:a9fe:a9fe', // IPv4-translated
  '64:ff9b::169.254.169.254', '64:ff9b::a9fe:a9fe', // NAT64
  '64:ff9b:1::a9fe:a9fe', '64:ff9b:1:a9fe:a9:fe00::', // NAT64 for local use
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
  judgedLookup(lookup)('name.test', { all }, (error, ...rest) => {
    heard = error === null ? rest : [error.code, error.message]
  })
  return heard
}

describe('a judged look-up', () => {
  it('leaves out the addresses that are refused, in either form', () => {
    assert.deepEqual(look(BOTH, true), [[BOTH[1], BOTH[3]]])
    assert.deepEqual(look(BOTH, false), ['192.0.2.1', 4])
  })

  it('fails when none is left, with the rule\'s name', () => {
    for (const all of [true, false]) {
      assert.deepEqual(look([{ address: 'fd00:ec2::254', family: 6 }], all),
        ['ADDRESS_REFUSED', 'the address of name.test is refused by the rule metadata'])
    }
  })

  it('passes a failure on', () => {
    const failure = Object.assign(new Error('none'), { code: 'ENOTFOUND' })
    judgedLookup((_name, _options, callback) => callback(failure, []))('name.test', {}, (error) => {
      assert.equal(error, failure)
    })
  })
})
