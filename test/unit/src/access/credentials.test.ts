// What a request presents.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { Prng } from '../../../../shards/base/prng.ts'
import { makeKey } from '../../../../src/access/api-key.ts'
import { readCredential } from '../../../../src/access/credentials.ts'
import { JWT_BYTES_MAX } from '../../../../src/base/limits.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const KEY = makeKey(randomBytes).text
const OTHER = makeKey(randomBytes).text
const JWT = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln-_'

const key = { kind: 'key', text: KEY }
const jwt = { kind: 'jwt', text: JWT }
const none = { kind: 'none' }
const malformed = { kind: 'malformed' }
const conflicting = { kind: 'conflicting' }

test('a credential is read from each of the headers', () => {
  const cases: [headers: [string, string, string], credential: object][] = [
    [['', '', ''], none],
    [[KEY, '', ''], key],
    [['', `Bearer ${KEY}`, ''], key],
    [['', `bearer  ${KEY}`, ''], key],
    [['', '', KEY], key],
    [['', `Bearer ${JWT}`, ''], jwt],
    [[KEY, `Bearer ${KEY}`, KEY], key],
    // Meant for a proxy.
    [['', 'Basic dXNlcjpwYXNz', ''], none],
    [['', '', 'sk-of-somebody-else'], none],
    [[KEY, 'Basic dXNlcjpwYXNz', 'sk-of-somebody-else'], key],
    [[KEY, 'Bearer opaque', ''], key],
    [['', 'Bearer opaque', KEY], key],
    [['', 'Bearer opaque', ''], malformed],
    [['', 'Bearer', ''], none],
    [[JWT, '', ''], malformed],
    [[`${KEY}x`, '', ''], malformed],
    [['slk_', `Bearer ${KEY}`, ''], malformed],
    [['', `Bearer ${KEY}, Bearer ${OTHER}`, ''], malformed],
    [['', '', `${KEY} ${OTHER}`], malformed],
    [[KEY, `Bearer ${KEY}.`, ''], malformed],
    [['', 'Bearer a.b.', ''], malformed],
    [['', 'Bearer a.b.c.d.e', ''], malformed],
    [['', `Bearer ${'a'.repeat(JWT_BYTES_MAX)}.b.c`, ''], malformed],
    [[KEY, `Bearer ${OTHER}`, ''], conflicting],
    [[KEY, `Bearer ${JWT}`, ''], conflicting],
    [['', `Bearer ${JWT}`, KEY], conflicting],
    [[KEY, '', OTHER], conflicting],
  ]
  for (const [headers, credential] of cases) {
    assert.deepEqual(readCredential(...headers), credential, headers.join(' | '))
  }
})

const PIECES = [KEY, OTHER, JWT, 'Bearer ', 'bearer ', 'Basic ', 'slk_', '.', '_', ' ', ',', 'é',
  '\0', KEY.slice(0, 17)]

function headerOf(prng: Prng): string {
  let text = prng.chance(0.3) ? 'Bearer ' : ''
  for (let count = prng.below(3); count > 0; count--) text += PIECES[prng.below(PIECES.length)]
  return text
}

test('whatever the headers are, the credential is whole in one of them, and in no other', () => {
  const seen = new Map<string, number>()
  const whole = /^(?:slk_[0-9A-Za-z]{12}_.{43}|[\w-]+\.[\w-]+\.[\w-]+)$/s
  forEachSeed(20_000, (prng) => {
    const headers: [string, string, string] = [headerOf(prng), headerOf(prng), headerOf(prng)]
    const read = readCredential(...headers)
    seen.set(read.kind, (seen.get(read.kind) ?? 0) + 1)
    const [own, authorization, other] = headers
    const bearer = /^bearer +(.*)$/is.exec(authorization)?.[1] ?? ''
    const found = new Set([own, bearer, other].filter((text, at) =>
      whole.test(text) && (at === 1 || text.startsWith('slk_')) &&
      (!text.startsWith('slk_') || text.length === KEY.length)))
    if ('text' in read) assert.deepEqual([...found], [read.text])
    if (read.kind === 'conflicting') assert.ok(found.size > 1)
    if (read.kind === 'none') assert.equal(found.size, 0)
  })
  for (const kind of ['key', 'jwt', 'none', 'malformed', 'conflicting']) {
    assert.ok((seen.get(kind) ?? 0) > 20, `${kind}: ${seen.get(kind)}`)
  }
})
