// Whose address a request comes from, by what trusted proxies say.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import ipaddr from 'ipaddr.js'
import { addressKey, ClientAddresses, showAddress } from '../../../../src/http/client-address.ts'
import { fakeRequest } from '../../../support/fake-request.ts'

type Headers = ReadonlyArray<readonly [name: string, value: string]>

const TRUSTED = ['10.0.0.0/8', '192.0.2.7', 'fd00::/8', '2001:db8::7']
const addresses = new ClientAddresses(TRUSTED)

const bytesOf = (address: string): ArrayBuffer =>
  Uint8Array.from(ipaddr.parse(address).toByteArray()).buffer

const find = (remote: string, headers: Headers, by = addresses): string =>
  showAddress(by.of(bytesOf(remote), fakeRequest(headers)))

const plain = (...values: string[]): Headers => values.map((value) => ['x-forwarded-for', value])
const named = (...values: string[]): Headers => values.map((value) => ['forwarded', value])

describe('the address of a client', () => {
  it('is that of its connection, unless that is a trusted proxy\'s', () => {
    const headers = [...plain('203.0.113.9'), ...named('for=203.0.113.9')]
    assert.equal(find('198.51.100.1', headers), '198.51.100.1')
    assert.equal(find('10.0.0.1', headers, new ClientAddresses([])), '10.0.0.1')
    assert.equal(find('10.0.0.1', headers), '203.0.113.9')
    assert.equal(find('::ffff:10.0.0.1', headers), '203.0.113.9', 'a mapped address of a proxy')
    assert.equal(find('fd12::1', headers), '203.0.113.9')
    assert.equal(find('2001:db8::8', headers), '2001:db8::8')
    assert.equal(find('10.0.0.1', []), '10.0.0.1')
    assert.equal(showAddress(addresses.of(new ArrayBuffer(0), fakeRequest(headers))), '')
  })

  it('is the rightmost one that is no trusted proxy\'s', () => {
    assert.equal(find('10.0.0.1', plain('6.6.6.6, 203.0.113.9, 10.0.0.3,192.0.2.7')), '203.0.113.9')
    assert.equal(find('10.0.0.1', plain('10.0.0.2, 10.0.0.3')), '10.0.0.2', 'all are trusted')
    assert.equal(find('10.0.0.1', plain('6.6.6.6', '203.0.113.9', '10.0.0.3')), '203.0.113.9')
    assert.equal(find('10.0.0.1',
      named('for=6.6.6.6, for=203.0.113.9;by=10.0.0.3', 'proto=https;For="[fd00::1]:4711"')),
    '203.0.113.9')
  })

  it('may be written in all the ways that proxies have', () => {
    const written: ReadonlyArray<readonly [text: string, address: string]> = [
      ['203.0.113.9', '203.0.113.9'], ['203.0.113.9:80', '203.0.113.9'],
      ['2001:DB8::1:0:1', '2001:db8::1:0:1'], ['[2001:db8::1]', '2001:db8::1'],
      ['[2001:db8::1]:443', '2001:db8::1'], ['::ffff:203.0.113.9', '203.0.113.9'],
      ['[::ffff:cb00:7109]:1', '203.0.113.9'], ['  203.0.113.9\t', '203.0.113.9'],
    ]
    for (const [text, address] of written) {
      assert.equal(find('10.0.0.1', plain(text)), address, text)
      assert.equal(find('10.0.0.1', named(`for="${text}"`)), address, text)
      assert.equal(find('10.0.0.1', named(`by=_me ;\tfor="${text}" ; proto=http`)), address, text)
    }
    assert.equal(find('10.0.0.1', named('for=203.0.113.9:_port')), '203.0.113.9')
    assert.equal(find('10.0.0.1', named('FOR="\\203.0.113.9";ext="a, b;for=6.6.6.6"')),
      '203.0.113.9')
  })

  it('ends at the last good one when the next is hidden, unknown or no address', () => {
    for (const text of ['unknown', '_hidden', '', 'localhost', '203.0.113', '203.0.113.09',
      '0x7f.1', '3405803785', '203.0.113.9/8', '[203.0.113.9]', '2001:db8::1::', 'fe80::1%eth0',
      '[fe80::1%25eth0]', '[2001:db8::1', '1.2.3.4:', '1.2.3.4:80:80', '"203.0.113.9"']) {
      assert.equal(find('10.0.0.1', plain(`6.6.6.6, ${text}, 10.0.0.9`)), '10.0.0.9', text)
      if (text.includes('"')) continue
      assert.equal(find('10.0.0.1', named(`for=6.6.6.6, for="${text}", for=10.0.0.9`)), '10.0.0.9',
        text)
    }
    assert.equal(find('10.0.0.1', named('for=6.6.6.6, proto=https, for=10.0.0.9')), '10.0.0.9')
  })

  it('is not taken from a header that breaks its grammar', () => {
    for (const text of ['for=6.6.6.6;x=", for=203.0.113.9', 'for=6.6.6.6;x="\\", for=203.0.113.9',
      'for=203.0.113.9;for=6.6.6.6', 'for="6.6.6.6"x, for=203.0.113.9', 'for', '=6.6.6.6', 'for=',
      'for=6.6.6.6;x=", for="[2001:db8::1]";by="_x"', 'for = 6.6.6.6', '6.6.6.6']) {
      assert.equal(find('10.0.0.1', named(text)), '10.0.0.1', text)
      assert.equal(find('10.0.0.1', named(text, 'for=203.0.113.9')), '203.0.113.9', text)
    }
  })

  it('is not taken from two headers that differ', () => {
    assert.equal(find('10.0.0.1', [...plain('203.0.113.9'), ...named('for=6.6.6.6')]), '10.0.0.1')
    assert.equal(find('10.0.0.1', [...named('for=203.0.113.9'), ...plain('6.6.6.6')]), '10.0.0.1')
    assert.equal(find('10.0.0.1', [...plain('203.0.113.9'), ...named('')]), '10.0.0.1')
  })

  it('is read in no time, however long the header', () => {
    const long = 16 * 1024
    for (const text of ['"', '\\', ' ', ',', ';', 'for=', 'for="\\', 'a', '[', ':', '1.']) {
      const value = text.repeat(long / text.length)
      find('10.0.0.1', [...plain(value), ...named(value), ...named(`for="${value}`)])
    }
  })

  it('has one key, whichever way it came', () => {
    const keyOf = (remote: string, headers: Headers): string =>
      addressKey(addresses.of(bytesOf(remote), fakeRequest(headers)))
    const own = keyOf('203.0.113.9', [])
    assert.equal(keyOf('10.0.0.1', plain('203.0.113.9')), own)
    assert.equal(keyOf('10.0.0.1', plain('::ffff:203.0.113.9')), own)
    assert.equal(keyOf('10.0.0.1', named('for="[2001:db8:0:1::9]"')),
      keyOf('2001:db8:0:1::1', []), 'a network of IPv6')
  })
})
