// What a predecessor says of the jobs that it passes on: only with the proof, and only of keys that
// are still there.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeProof, peerHeader, readPeer } from '../../../../src/access/peer-proof.ts'
import { makePrincipal, OPERATOR } from '../../../../src/access/principal.ts'

const KEYED = makePrincipal({ tenant: 7, key: 3, keyId: 'abc', user: 'ann' })
const ofKey = (id: string) => id === 'abc' ? KEYED : undefined

test('who passes a job on says whose it is, with the proof', () => {
  const proof = makeProof()
  assert.equal(readPeer(peerHeader(proof, KEYED), proof, ofKey), KEYED)
  assert.equal(readPeer(peerHeader(proof, OPERATOR), proof, ofKey), OPERATOR)
  const token = makePrincipal({ tenant: 8, scopes: new Set(['submit']), user: 'ben' })
  const read = readPeer(peerHeader(proof, token), proof, ofKey)
  assert.deepEqual([read?.tenant, read?.user, [...read?.scopes ?? []]], [8, 'ben', ['submit']])
  assert.equal(readPeer(peerHeader(proof, KEYED), proof, () => undefined), undefined, 'revoked')
})

test('without the proof nothing is believed, and nothing thrown', () => {
  const proof = makeProof()
  for (const value of [
    peerHeader(makeProof(), KEYED), '', proof, `${proof}.`, `${proof}.%%%`, `${proof}.e30`,
    `${proof}.${Buffer.from('[1').toString('base64url')}`, proof.slice(1), 'ä'.repeat(60),
  ]) {
    assert.equal(readPeer(value, proof, ofKey), undefined, value)
  }
})
