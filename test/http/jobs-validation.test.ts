// Every bad field of POST /jobs is answered 400 with its name, and every value at the edge of what
// is allowed is let in. Bodies that are no object, or no JSON at all, are named by an empty field.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type JobFields, jobOf } from '../support/api-client.ts'
import { Scene } from '../support/scene.ts'

const scene = new Scene({ flags: ['--shards', '1', '--default-rps', '0.5'] })

const URL_OK = 'http://127.0.0.1:9/'
/** Appears in bad values; no answer may repeat it. */
const SECRET = 'hunter2'

const without = (field: string): JobFields =>
  Object.fromEntries(Object.entries(jobOf(URL_OK)).filter(([name]) => name !== field))

const manyHeaders = (count: number): JobFields =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`x-${at}`, 'v']))

/** Field → values for which a job is refused. */
const BAD_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  user_id: [7, '', 'u'.repeat(257), 'é'.repeat(129), '\ud800', {}, ['u'], true],
  idempotent_key: [7, '', 'k'.repeat(513), '€'.repeat(171), '\udc00x', {}, []],
  url: [
    42, '', 'no url', '/relative', '//host/path', 'ftp://host/', 'file:///etc/passwd',
    'javascript:alert(1)', 'http://', 'https://:80/', 'http://host:99999/', 'http:host',
    `http://user:${SECRET}@host/`, 'http://host/a b', 'http://host/\r\nX: y', 'http://ho\u0000st/',
    'http://[::1/', `http://host/${'p'.repeat(8 * 1024)}`, `http://host/${'ü'.repeat(4000)}`,
    'http://host/\ud800', {}, null,
  ],
  method: [7, '', 'TRACE', 'CONNECT', 'GE T', 'GETT', 'GET\r\n', {}, null],
  headers: ['a: b', 5, true, ['a', 'b'], manyHeaders(129), { 'x-a': 'v'.repeat(33 * 1024) },
    { 'bad name': 'v' }, { '': 'v' }, { 'a\r\nb': 'v' }, { 'nul\u0000': 'v' }, { 'é': 'v' }],
  body: [5, true, {}, ['x'], '\ud800'],
  body_base64: ['***', 'abc$', 'a', 'ab=c', 'YWJj-_', 'YQ=', 5, {}],
  delivery: ['pigeon', 7, {}, '', 'POLL'],
  webhook_url: [7, '', 'nowhere', 'ftp://host/', `https://u:${SECRET}@host/`, {}],
  max_retries: [-2, 101, 1.5, '3', 1e9, true, {}],
  execute_before: ['tomorrow', -1, 0, 1.5, true, {}],
}

/** Name → value of headers that may not be sent; the field is `headers.<name>`. */
const BAD_HEADERS: ReadonlyArray<readonly [name: string, value: unknown]> = [
  ['Connection', 'close'], ['connection', 'x'], ['Keep-Alive', 'timeout=5'], ['TE', 'trailers'],
  ['Trailer', 'x'], ['Transfer-Encoding', 'chunked'], ['Upgrade', 'websocket'],
  ['Proxy-Authorization', SECRET], ['Proxy-Authenticate', 'x'], ['Proxy-Connection', 'x'],
  ['X-Number', 7], ['X-Null', null], ['X-List', ['a']], ['X-Feed', 'a\nb'], ['X-Return', 'a\rb'],
  ['X-Split', `a\r\nInjected: ${SECRET}`], ['X-Nul', 'a\u0000'], ['X-Bell', '\u0007'],
  ['X-Delete', '\u007f'], ['X-Wide', 'snow ☃'], ['X-Half', '\ud800'], ['Content-Length', '5'],
  ['Content-Length', 'five'],
]

async function assertRefused(job: unknown, field: string): Promise<void> {
  const answer = await scene.api.post(job)
  const shown = JSON.stringify(job)?.slice(0, 300)
  assert.equal(answer.status, 400, shown)
  assert.equal(answer.body.field, field, `${shown} → ${answer.bytes.toString()}`)
  assert.match(String(answer.body.code), /^[a-z][a-z0-9_]+$/)
  assert.equal(typeof answer.body.error, 'string')
  assert.deepEqual(Object.keys(answer.body).toSorted(), ['code', 'error', 'field'])
  assert.ok(!answer.bytes.includes(SECRET), 'an answer repeats what may be a secret')
}

describe('a field that is bad', () => {
  for (const [field, values] of Object.entries(BAD_VALUES)) {
    it(`is named: ${field}`, async () => {
      for (const value of values) {
        const delivery = field === 'webhook_url' ? { delivery: 'webhook' } : {}
        await assertRefused(jobOf(URL_OK, { ...delivery, [field]: value }), field)
      }
    })
  }

  for (const field of ['user_id', 'idempotent_key', 'url', 'method']) {
    it(`is named when it is missing: ${field}`, () => assertRefused(without(field), field))
  }

  it('is named when it is missing: webhook_url', async () => {
    await assertRefused(without('delivery'), 'webhook_url')
    await assertRefused(jobOf(URL_OK, { delivery: 'webhook' }), 'webhook_url')
  })

  it('is named with the header that is bad', async () => {
    for (const [name, value] of BAD_HEADERS) {
      await assertRefused(jobOf(URL_OK, { headers: { [name]: value } }), `headers.${name}`)
    }
  })

  it('is one of two that exclude each other', () =>
    assertRefused(jobOf(URL_OK, { body: 'a', body_base64: 'YQ==' }), 'body_base64'))
})

describe('a body that is no job', () => {
  it('is refused as a whole when it is no object', async () => {
    for (const root of [null, 7, 'text', true, [], [jobOf(URL_OK)]]) await assertRefused(root, '')
  })

  it('is refused as a whole when it is no JSON', async () => {
    const deep = '['.repeat(100_000)
    const bodies = ['', '{', '{"user_id":', 'nul', '{}{}', '\u0000', deep, `{"a":"${SECRET}`]
    for (const body of [...bodies, Buffer.from([0x7b, 0xff, 0xfe, 0x7d])]) {
      const answer = await scene.api.send('POST', '/jobs', {
        headers: { 'content-type': 'application/json' }, body,
      })
      assert.equal(answer.status, 400, String(body).slice(0, 40))
      assert.equal(answer.body.code, 'invalid_json')
      assert.equal(answer.body.field, '')
      assert.ok(!answer.bytes.includes(SECRET))
    }
  })
})

describe('a value at the edge of what is allowed', () => {
  const edges: readonly JobFields[] = [
    { user_id: 'u'.repeat(256) }, { user_id: 'é'.repeat(128) }, { user_id: '\u0000' },
    { idempotent_key: 'k'.repeat(512) }, { idempotent_key: '\u{1f600}'.repeat(128) },
    { url: `http://127.0.0.1:9/${'p'.repeat(8 * 1024 - 19)}` },
    { url: 'HTTP://127.0.0.1:9' }, { url: 'http://127.0.0.1:9/?q=ü#fragment' },
    { method: 'dElEtE' }, { headers: {} }, { headers: manyHeaders(128) }, { headers: null },
    { headers: { 'Content-Length': '3' }, body: 'abc', method: 'POST' },
    { body: '' }, { body: null }, { body_base64: '' }, { body_base64: 'YQ' },
    { body_base64: 'YWI=' }, { max_retries: -1 }, { max_retries: 0 }, { max_retries: 100 },
    { execute_before: Date.now() + 3_600_000 }, { execute_before: 1 },
    { delivery: 'webhook', webhook_url: 'http://127.0.0.1:9/hook' },
    { delivery: undefined, webhook_url: 'https://127.0.0.1:9/hook' },
  ]
  for (const fields of edges) {
    const name = JSON.stringify(fields).slice(0, 60)
    it(`is let in: ${name}`, async () => { await scene.api.accept(jobOf(URL_OK, fields)) })
  }
})
