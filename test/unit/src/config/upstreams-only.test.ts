// Whether jobs may name a host: all of them, or only those in the tables, each with its ports.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MIB } from '../../../../shards/base/units.ts'
import { originFilter, shardSettings } from '../../../../src/config/derive.ts'
import { loadConfig } from '../../../../src/config/load.ts'
import type { Config } from '../../../../src/config/settings.ts'

const UPSTREAMS = '{a.example: {}, "b.example:8443": {}, "[::1]:80": {}}'
const RECEIVERS = '{c.example: {}}'
const LISTED = ['http://a.example', 'https://a.example:99', 'https://b.example:8443',
  'http://[::1]']
const OTHERS = ['https://b.example', 'http://[::1]:81', 'http://x.a.example', 'http://c.example',
  'http://toString', 'http://8.8.8.8']

function load(upstreamsOnly: string): Config {
  const loaded = loadConfig({
    flags: { upstreams: UPSTREAMS, webhookReceivers: RECEIVERS, upstreamsOnly }, env: {},
    cwd: '/nowhere', machine: { cores: 2, memoryBytes: 1024 * MIB, descriptors: 20_000 },
  })
  assert.ok(loaded.ok)
  return loaded.value.config
}

describe('upstreams_only', () => {
  it('lets jobs name the hosts in the table of their role alone', () => {
    const isListed = originFilter(load('on'))
    for (const origin of LISTED) {
      assert.equal(isListed(origin, 'upstream'), true, origin)
      assert.equal(isListed(origin, 'receiver'), false, origin)
    }
    for (const origin of OTHERS) assert.equal(isListed(origin, 'upstream'), false, origin)
    assert.equal(isListed('http://c.example', 'receiver'), true)
  })

  it('is off unless it is set, and then all may be named', () => {
    const isListed = originFilter(load('off'))
    for (const origin of [...LISTED, ...OTHERS]) assert.equal(isListed(origin, 'upstream'), true)
  })

  it('is passed to the shards, with the hosts of both tables', () => {
    const { named, upstreamsOnly } = shardSettings(load('on'), '').egress ?? {}
    assert.deepEqual(named, ['a.example', 'b.example:8443', '[::1]:80', 'c.example'])
    assert.equal(upstreamsOnly, true)
  })
})
