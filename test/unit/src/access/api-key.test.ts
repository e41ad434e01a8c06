// API keys as text.

import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import {
  containsKey, hashKey, hideKeys, isKeyId, isKeyOf, keyIdOf, looksLikeKey, makeKey,
} from '../../../../src/access/api-key.ts'

const FORM = /^slk_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/

test('of a text with keys in it, their public parts are left', () => {
  const { id, text } = makeKey(randomBytes)
  assert.equal(hideKeys(`/jobs/${text}/x?y=${text}`), `/jobs/slk_${id}/x?y=slk_${id}`)
  assert.equal(hideKeys('/jobs/1'), '/jobs/1')
})

test('a key is made of the randomness that is given, and has its id in it', () => {
  const { id, text } = makeKey((bytes) => new Uint8Array(bytes).fill(255))
  assert.match(text, FORM)
  assert.equal(keyIdOf(text), id)
  assert.ok(isKeyId(id))
  // 2^256 - 1 in base 62.
  let number = 0n
  for (const digit of text.slice(17)) {
    number = number * 62n + BigInt(
      '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'.indexOf(digit))
  }
  assert.equal(number, 2n ** 256n - 1n)
  assert.match(makeKey((bytes) => new Uint8Array(bytes)).text, /^slk_0{12}_0{43}$/)
})

test('keys of real randomness differ, in all their places', () => {
  const keys = Array.from({ length: 200 }, () => makeKey(randomBytes).text)
  assert.equal(new Set(keys).size, keys.length)
  for (const key of keys) assert.match(key, FORM)
  // The first digit of the secret is one of few: 62^43 is a little more than 2^256.
  for (const at of [...Array(12).keys()].map((index) => index + 4)) {
    assert.ok(new Set(keys.map((key) => key[at])).size > 30, `digit ${at}`)
  }
})

test('what is no key has no id', () => {
  const { text } = makeKey(randomBytes)
  for (const wrong of ['', 'slk_', text.slice(1), text.slice(0, -1), `${text}0`,
    text.replace('slk_', 'SLK_'), `slk_${'0'.repeat(56)}`]) {
    assert.equal(keyIdOf(wrong), undefined, wrong)
  }
  assert.ok(looksLikeKey('slk_'))
  assert.ok(!looksLikeKey('sk_live_1'))
  for (const wrong of ['', '012345678901 ', '0123456789-1', '0123456789abc']) {
    assert.ok(!isKeyId(wrong))
  }
})

test('the hash is the SHA-256 of the whole text', () => {
  const { text } = makeKey(randomBytes)
  assert.deepEqual(hashKey(text), createHash('sha256').update(text).digest())
  assert.ok(isKeyOf(text, hashKey(text)))
  assert.ok(!isKeyOf(`${text.slice(0, -1)}_`, hashKey(text)))
  assert.ok(!isKeyOf(text, undefined))
})

test('a key is found anywhere in a text', () => {
  const { id, text } = makeKey(randomBytes)
  for (const found of [text, `Bearer ${text}`, `a=${text};b`, `slk_${id}`]) {
    assert.ok(containsKey(found), found)
  }
  for (const none of ['', 'slk_', `slk_${id.slice(1)}-`, id]) assert.ok(!containsKey(none), none)
})
