// Who asks, by what a request presents, and by how its listener can be reached.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Authenticator, type RouteScope } from '../../../../src/access/authenticator.ts'
import type { Presented } from '../../../../src/access/presented.ts'
import {
  makePrincipal, OPERATOR, type Principal, STRANGER,
} from '../../../../src/access/principal.ts'

const KEY = `slk_abcdefghijkl_${'x'.repeat(43)}`
const KEYED = makePrincipal({ tenant: 7, key: 3, keyId: 'abcdefghijkl', scopes: new Set(['read']) })

const NOTHING: Presented = {
  host: 'localhost', origin: '', sluiceKey: '', authorization: '', apiKey: '', peer: '',
  isAmbiguous: false,
}

interface Place {
  readonly keys?: number
  readonly isOn?: boolean
  readonly isOpenToAll?: boolean
}

const judge = (
  presented: Partial<Presented>, isLocal: boolean, scope: RouteScope,
  { isOn = false, isOpenToAll = false, keys = 0 }: Place = {}, isWrite = false,
): Principal | string => {
  const found = new Authenticator({
    keys: {
      size: keys, find: (text) => text === KEY ? KEYED : undefined, ofId: () => undefined,
    },
    tokens: { isOn, verify: (token) => token.startsWith('a') ? KEYED : undefined },
    isOpenToAll, allowedHosts: ['Sluice.example'], peerProof: () => null, wallMs: () => 0,
  }).judge({ ...NOTHING, ...presented }, isLocal, { scope, isWrite })
  return 'caller' in found ? found : 'code' in found ? found.code : 'unchecked'
}

test('without keys, this machine may do everything, and others see the state', () => {
  assert.equal(judge({}, true, 'admin'), OPERATOR)
  assert.equal(judge({}, false, 'open'), STRANGER)
  for (const scope of ['known', 'submit', 'operate'] as const) {
    assert.equal(judge({}, false, scope), 'locked')
    assert.equal(judge({}, false, scope, { isOpenToAll: true }), OPERATOR)
    assert.equal(judge({}, true, scope, { keys: 1 }), 'key_required')
    assert.equal(judge({}, true, scope, { isOn: true }), 'key_required')
  }
})

test('a key is who it says, and a wrong one is nobody, but for what is for everybody', () => {
  for (const presented of [
    { sluiceKey: KEY }, { authorization: `Bearer ${KEY}` }, { apiKey: KEY },
  ]) {
    assert.equal(judge(presented, false, 'read', { keys: 1 }), KEYED)
    assert.equal(judge(presented, false, 'submit', { keys: 1 }), 'insufficient_scope')
  }
  for (const presented of [
    { sluiceKey: `${KEY}x` }, { sluiceKey: KEY.slice(1) }, { sluiceKey: 'guess' },
    { authorization: `Bearer ${KEY.slice(0, -1)}` }, { apiKey: `${KEY}x` },
  ]) {
    for (const place of [{ keys: 1 }, { keys: 1, isOpenToAll: true }, {}]) {
      assert.equal(judge(presented, true, 'read', place), 'invalid_key')
    }
    assert.equal(judge(presented, true, 'open', { keys: 1 }), STRANGER)
  }
  assert.equal(judge({ authorization: 'Basic eDp5' }, true, 'read'), OPERATOR, 'somebody else\'s')
})

test('several keys that differ are refused', () => {
  const two = { sluiceKey: KEY, apiKey: `${KEY.slice(0, -1)}y` }
  assert.equal(judge(two, false, 'read', { keys: 1 }), 'invalid_key')
  assert.equal(judge({ sluiceKey: KEY, isAmbiguous: true }, false, 'read', { keys: 1 }),
    'invalid_key')
})

test('a host or a page that is not this machine\'s is refused where nobody needs a key', () => {
  for (const host of [
    '[::1]x.evil', 'localhost:80@evil', 'evil:80', '::1', '', 'localhost.evil', '[::1',
    '127.0.0.1.1',
  ]) {
    assert.equal(judge({ host }, true, 'open'), 'foreign_host', host)
    assert.equal(judge({ host, sluiceKey: KEY }, true, 'read', { keys: 1 }), KEYED)
    assert.equal(judge({ host }, true, 'read', { isOpenToAll: true }), OPERATOR)
  }
  for (const host of ['sluice.example:1', 'LOCALHOST', 'localhost.:80', '[::1]:80', '127.9.9.9']) {
    assert.equal(judge({ host }, true, 'read'), OPERATOR, host)
  }
  const origin = 'http://evil.example'
  assert.equal(judge({ origin }, true, 'submit', {}, true), 'forbidden_origin')
  assert.equal(judge({ origin }, true, 'read'), OPERATOR, 'what reads, the browser keeps from it')
})

test('a token is a key where tokens are expected, and nothing elsewhere', () => {
  const authorization = 'Bearer a.b.c'
  assert.equal(judge({ authorization }, false, 'read', { isOn: true }), KEYED)
  assert.equal(judge({ authorization: 'Bearer b.b.c' }, false, 'read', { isOn: true }),
    'invalid_key')
  assert.equal(judge({ authorization }, true, 'read'), OPERATOR)
  assert.equal(judge({ authorization }, false, 'read', { keys: 1 }), 'key_required')
})
