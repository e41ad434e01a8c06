// What is a job and what is not: every field of POST /jobs, and mutated bodies by the thousand.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import {
  IDEMPOTENT_KEY_BYTES_MAX, JOB_HEADERS_BYTES_MAX, JOB_HEADERS_COUNT_MAX, URL_BYTES_MAX,
  USER_ID_BYTES_MAX,
} from '../../../../shards/memory/limits.ts'
import { encodeValue } from '../../../../shards/wire/codec.ts'
import { makeKey } from '../../../../src/access/api-key.ts'
import { type ErrorCode, ERRORS, type Refusal } from '../../../../src/base/errors.ts'
import { URLS_CACHED_MAX } from '../../../../src/base/limits.ts'
import { JobUrls } from '../../../../src/job/job-url.ts'
import { formatOf, parseBody } from '../../../../src/job/parse-body.ts'
import { validateJob, type ValidJob } from '../../../../src/job/validate.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 20_261)

const GOOD = {
  user_id: 'ann', idempotent_key: 'k1', url: 'https://api.example.com/v1/x?y=1', method: 'POST',
  headers: { 'Content-Type': 'text/plain', Authorization: 'Bearer t' }, body: 'hi',
  webhook_url: 'http://127.0.0.1:9000/done', max_retries: 2, execute_before: 1_900_000_000_000,
}

const urls = new JobUrls()

function judge(changes: object, keyHeader = ''): ValidJob | Refusal {
  return validateJob({ ...GOOD, ...changes }, keyHeader, urls)
}

function accepts(changes: object, keyHeader = ''): ValidJob {
  const job = judge(changes, keyHeader)
  assert.ok(job.ok, `refused: ${JSON.stringify(job)}`)
  return job
}

function refuses(changes: object, code: ErrorCode, field: string, keyHeader = ''): void {
  const job = judge(changes, keyHeader)
  const what = JSON.stringify(changes).slice(0, 100)
  assert.ok(!job.ok, `taken: ${what}`)
  assert.deepEqual([job.code, job.field], [code, field], what)
  assert.equal(ERRORS[job.code].status, 400)
  assert.ok(job.error.length > 0 && job.error.length < 200)
}

test('a whole job comes out as it went in', () => {
  const job = accepts({ method: 'post', unknown: { deep: [1] } })
  assert.equal(job.userId, 'ann')
  assert.equal(job.idempotentKey, 'k1')
  assert.deepEqual(job.url,
    { ok: true, href: 'https://api.example.com/v1/x?y=1', origin: 'https://api.example.com' })
  assert.equal(job.method, 'POST')
  assert.deepEqual(job.headers.list, ['Content-Type', 'text/plain', 'Authorization', 'Bearer t'])
  assert.equal(job.headers.apiKey, 'Bearer t')
  assert.equal(Buffer.from(job.body ?? []).toString(), 'hi')
  assert.equal(job.webhook?.origin, 'http://127.0.0.1:9000')
  assert.equal(job.maxRetries, 2)
  assert.equal(job.executeBeforeMs, 1_900_000_000_000)
})

test('null and absent optional fields have their defaults', () => {
  for (const nothing of [null, undefined]) {
    const job = accepts({
      headers: nothing, body: nothing, body_base64: nothing, max_retries: nothing,
      execute_before: nothing, delivery: nothing,
    })
    assert.deepEqual(job.headers.list, [])
    assert.equal(job.headers.apiKey, null)
    assert.equal(job.body, null)
    assert.equal(job.maxRetries, 4)
    assert.equal(job.executeBeforeMs, 0)
  }
})

test('a body that is no object is refused', () => {
  for (const root of [null, undefined, 1, 'x', true, [], [GOOD], new Uint8Array(3)]) {
    const job = validateJob(root, '', urls)
    assert.ok(!job.ok)
    assert.deepEqual([job.code, job.field], ['not_an_object', ''])
  }
})

test('required texts: absent, of another type, empty, too long in bytes, not Unicode', () => {
  const limits = { user_id: USER_ID_BYTES_MAX, idempotent_key: IDEMPOTENT_KEY_BYTES_MAX }
  for (const [field, bytesMax] of Object.entries(limits)) {
    refuses({ [field]: undefined }, 'missing_field', field)
    refuses({ [field]: null }, 'missing_field', field)
    for (const wrong of [1, true, {}, [], ['x']]) refuses({ [field]: wrong }, 'wrong_type', field)
    refuses({ [field]: '' }, 'empty_field', field)
    accepts({ [field]: 'x'.repeat(bytesMax) })
    refuses({ [field]: 'x'.repeat(bytesMax + 1) }, 'too_long', field)
    accepts({ [field]: '€'.repeat(Math.floor(bytesMax / 3)) })
    refuses({ [field]: '€'.repeat(Math.floor(bytesMax / 3) + 1) }, 'too_long', field)
    refuses({ [field]: 'a\ud800b' }, 'not_unicode', field)
    accepts({ [field]: 'a\u{1f600}\0b' })
  }
})

test('the Idempotency-Key header stands in for the field, and may not contradict it', () => {
  assert.equal(accepts({ idempotent_key: undefined }, 'h1').idempotentKey, 'h1')
  assert.equal(accepts({ idempotent_key: null }, 'h1').idempotentKey, 'h1')
  assert.equal(accepts({ idempotent_key: 'h1' }, 'h1').idempotentKey, 'h1')
  refuses({}, 'conflicting_fields', 'idempotent_key', 'h1')
  refuses({ idempotent_key: undefined }, 'too_long', 'idempotent_key', 'x'.repeat(513))
})

test('the Idempotency-Key header is visible ASCII, the field any text', () => {
  for (const key of ['a', '!~', '"quoted: sf-string"', 'with  spaces inside']) {
    assert.equal(accepts({ idempotent_key: undefined }, key).idempotentKey, key)
  }
  for (const key of ['a\u00e9b', 'a\u65e5b', 'a\tb', 'a\u007f', 'a\0b', 'a\ufffdb', '\ud800']) {
    refuses({ idempotent_key: undefined }, 'invalid_header', 'idempotent_key', key)
    refuses({ idempotent_key: key }, 'invalid_header', 'idempotent_key', key)
  }
  assert.equal(accepts({ idempotent_key: 'order-\u00e9' }).idempotentKey, 'order-\u00e9')
})

test('URLs: normalised, without fragment; what is none is refused', () => {
  const cases = [
    ['HTTP://Example.COM:80/a/../b#frag', 'http://example.com/b', 'http://example.com'],
    ['https://example.com#', 'https://example.com/', 'https://example.com'],
    ['http://[::1]:8080/x', 'http://[::1]:8080/x', 'http://[::1]:8080'],
    ['http://bücher.example/ä', 'http://xn--bcher-kva.example/%C3%A4',
      'http://xn--bcher-kva.example'],
    // An address has one spelling, and what it is connected to is what it is known by.
    ['http://127.1:8080/x', 'http://127.0.0.1:8080/x', 'http://127.0.0.1:8080'],
    ['http://127.0.0.1./', 'http://127.0.0.1/', 'http://127.0.0.1'],
    ['http://[::ffff:127.0.0.1]:8080/x', 'http://127.0.0.1:8080/x', 'http://127.0.0.1:8080'],
    ['http://[0:0:0:0:0:ffff:a01:203]/', 'http://10.1.2.3/', 'http://10.1.2.3'],
    ['http://0.0.0.0:8080/', 'http://127.0.0.1:8080/', 'http://127.0.0.1:8080'],
    ['http://0:8080/', 'http://127.0.0.1:8080/', 'http://127.0.0.1:8080'],
    ['http://[::ffff:0:0]/', 'http://127.0.0.1/', 'http://127.0.0.1'],
    ['http://[::]:8080/', 'http://[::1]:8080/', 'http://[::1]:8080'],
    ['http://LOCALHOST.:8080/', 'http://localhost:8080/', 'http://localhost:8080'],
    // A name stays as it is where it is sent to, and is known without the dot.
    ['https://API.example.:8443/x', 'https://api.example.:8443/x', 'https://api.example:8443'],
    ['http://redis./', 'http://redis./', 'http://redis'],
    // Others, which only a look-up or a route could tell.
    ['http://127.0.0.2/', 'http://127.0.0.2/', 'http://127.0.0.2'],
    ['http://[::7f00:1]/', 'http://[::7f00:1]/', 'http://[::7f00:1]'],
    ['http://[::ffff:1:7f00:1]/', 'http://[::ffff:1:7f00:1]/', 'http://[::ffff:1:7f00:1]'],
    ['http://a.localhost/', 'http://a.localhost/', 'http://a.localhost'],
    ['http://./', 'http://./', 'http://.'],
  ]
  for (const [url = '', href = '', origin = ''] of cases) {
    assert.deepEqual(accepts({ url }).url, { ok: true, href, origin })
    assert.deepEqual(accepts({ url: href }).url, { ok: true, href, origin }, 'as it is already')
    assert.equal(accepts({ url: origin }).url.origin, origin)
    assert.deepEqual(accepts({ webhook_url: url }).webhook, { ok: true, href, origin })
  }
  const wrong = [
    'example.com', '/path', 'ftp://example.com', 'file:///etc/passwd', 'http:', 'http://',
    'http:///x', 'http:example.com', 'http:\\\\example.com', 'http://?x', 'javascript:alert(1)',
    ' http://example.com', 'http://example.com/a b', 'http://example.com/\r\nX: y',
    'http://example.com/\0', 'http://exa mple.com', 'http://user:pass@example.com',
    'http://user@example.com', 'http://example.com:99999', 'http://[::1', 'http://%zz/',
  ]
  for (const field of ['url', 'webhook_url']) {
    for (const url of wrong) refuses({ [field]: url }, 'invalid_url', field)
    for (const url of [1, {}, []]) refuses({ [field]: url }, 'wrong_type', field)
    refuses({ [field]: '' }, 'empty_field', field)
    refuses({ [field]: 'http://example.com/\ud800' }, 'not_unicode', field)
    const base = 'http://example.com/'
    accepts({ [field]: base + 'x'.repeat(URL_BYTES_MAX - base.length) })
    refuses({ [field]: base + 'x'.repeat(URL_BYTES_MAX - base.length + 1) }, 'too_long', field)
    refuses({ [field]: base + 'ä'.repeat(2000) }, 'too_long', field)
  }
  refuses({ url: null }, 'missing_field', 'url')
})

test('a refusal never quotes a secret', () => {
  for (const changes of [
    { url: 'http://user:hunter2@example.com' }, { headers: { Authorization: 'hunter2\n' } },
    { headers: { 'hunter2 hunter2': 'x' } }, { body_base64: 'hunter2!' }, { method: 'hunter2' },
  ]) {
    assert.ok(!JSON.stringify(judge(changes)).includes('hunter2'), JSON.stringify(changes))
  }
})

test('remembered URLs are bounded and stay right', () => {
  const few = new JobUrls()
  for (let round = 0; round < 2; round++) {
    for (let at = 0; at < URLS_CACHED_MAX + 100; at++) {
      const url = few.parse(`http://h${at}.example/x`, 'url')
      assert.ok(url.ok && url.origin === `http://h${at}.example`)
    }
  }
  const first = few.parse('http://same.example/', 'url')
  assert.equal(few.parse('http://same.example/', 'url'), first)
})

test('methods: seven, in any case', () => {
  for (const method of ['GET', 'head', 'Post', 'PUT', 'pAtCh', 'DELETE', 'options']) {
    assert.equal(accepts({ method }).method, method.toUpperCase())
  }
  for (const method of ['', 'GETS', 'CONNECT', 'TRACE', 'GET ', 'G\u0130T', '__proto__']) {
    refuses({ method }, 'invalid_method', 'method')
  }
  refuses({ method: null }, 'missing_field', 'method')
  refuses({ method: 7 }, 'wrong_type', 'method')
})

test('headers: what cannot be sent on is refused by name', () => {
  for (const headers of [[], 'x', 1, new Uint8Array(2)]) {
    refuses({ headers }, 'wrong_type', 'headers')
  }
  for (const value of [1, null, ['x'], {}, true]) {
    refuses({ headers: { 'X-A': value } }, 'wrong_type', 'headers.X-A')
  }
  const hopByHop = [
    'Connection', 'Keep-Alive', 'Proxy-Authenticate', 'Proxy-Authorization', 'TE', 'Trailer',
    'Transfer-Encoding', 'UPGRADE', 'proxy-connection', 'Expect',
  ]
  for (const name of hopByHop) {
    refuses({ headers: { [name]: 'x' } }, 'invalid_header', `headers.${name}`)
  }
  for (const name of ['', 'a b', 'a:', 'ä', 'a\r\nb', 'a\0', 'x'.repeat(20) + '(']) {
    refuses({ headers: { [name]: 'x' } }, 'invalid_header', 'headers')
  }
  for (const value of ['a\r\nb', 'a\nb', 'a\0', '\x7f', '\x1b', '€', '\u{1f600}']) {
    refuses({ headers: { 'X-A': value } }, 'invalid_header', 'headers.X-A')
  }
  refuses({ headers: { 'X-A': '\ud800' } }, 'not_unicode', 'headers.X-A')
  // A key of Sluice's own, also under a name whose headers are dropped; the value is not quoted.
  const key = makeKey(randomBytes).text
  for (const [name, value] of [['Authorization', `Bearer ${key}`], ['X-Api-Key', key],
    ['Cookie', `a=${key}; b`], ['X-Sluice-Key', key], ['X-A', key.slice(0, 20)]] as const) {
    refuses({ headers: { [name]: value } }, 'invalid_header', `headers.${name}`)
    assert.ok(!JSON.stringify(judge({ headers: { [name]: value } })).includes('slk_'))
  }
  refuses({ headers: { Host: 'a', host: 'b' } }, 'invalid_header', 'headers.host')
  accepts({ headers: { 'X-A': 'tab\tand \xe4', '!#$%&\'*+-.^_`|~': '', __proto__: 'x' } })
  const own = JSON.parse('{"__proto__": "x", "constructor": "y"}') as object
  assert.deepEqual(accepts({ headers: own }).headers.list, ['__proto__', 'x', 'constructor', 'y'])
})

test('headers: a caller\'s own do not pass for Sluice\'s, whatever the format', () => {
  const own = {
    'X-Sluice-Job-Id': 'fake', 'x-sluice-anything': '1', 'X-Aqueduct-Queue-Depth': '0',
    'X-EZTHROTTLE-CURRENT-QUEUE-MODE': 'account', 'X-Aquifer-Rps': '9',
    'x-AQUEDUCT-account-queue': 'enabled',
  }
  const others = { 'X-Sluice': 'a', 'X-Aqueducts': 'b', 'Not-X-Sluice-Job-Id': 'c' }
  const kept = ['X-Sluice', 'a', 'X-Aqueducts', 'b', 'Not-X-Sluice-Job-Id', 'c']
  const headers = { ...own, ...others }
  const packed = parseBody(Buffer.from(encodeValue({ headers })), 'msgpack')
  assert.ok(packed.ok)
  for (const changes of [{ headers }, packed.value as object]) {
    assert.deepEqual(accepts(changes).headers.list, kept)
  }
  refuses({ headers: { 'X-Sluice-A': '\n' } }, 'invalid_header', 'headers.X-Sluice-A')
})

test('headers: __proto__ is a name like any other, by JSON and by MessagePack', () => {
  const text = '{"headers":{"__proto__":"a","b":"c"},"__proto__":{"method":"GET"}}'
  const json = parseBody(Buffer.from(text), 'json')
  const msgpack = parseBody(Buffer.concat([
    Buffer.from([0x82, 0xa7]), Buffer.from('headers'),
    Buffer.from([0x82, 0xa9]), Buffer.from('__proto__'), Buffer.from([0xa1, 0x61, 0xa1, 0x62]),
    Buffer.from([0xa1, 0x63, 0xa9]), Buffer.from('__proto__'),
    Buffer.from([0x81, 0xa6]), Buffer.from('method'), Buffer.from([0xa3]), Buffer.from('GET'),
  ]), 'msgpack')
  assert.ok(json.ok && msgpack.ok)
  assert.deepEqual(msgpack.value, json.value)
  for (const { value } of [json, msgpack]) {
    const changes = value as { readonly headers: object }
    assert.deepEqual(accepts({ headers: changes.headers }).headers.list,
      ['__proto__', 'a', 'b', 'c'])
    const job = validateJob(value, '', urls)
    assert.ok(!job.ok && job.code === 'missing_field', 'nothing is read from a __proto__')
  }
})

test('headers: bounded in number and in bytes of UTF-8', () => {
  const many = (count: number): object =>
    Object.fromEntries(Array.from({ length: count }, (_, at) => [`h${at}`, 'x']))
  accepts({ headers: many(JOB_HEADERS_COUNT_MAX) })
  refuses({ headers: many(JOB_HEADERS_COUNT_MAX + 1) }, 'too_many_headers', 'headers')
  accepts({ headers: { a: 'x'.repeat(JOB_HEADERS_BYTES_MAX - 1) } })
  refuses({ headers: { a: 'x'.repeat(JOB_HEADERS_BYTES_MAX) } }, 'too_long', 'headers')
  refuses({ headers: { a: 'ä'.repeat(JOB_HEADERS_BYTES_MAX / 2) } }, 'too_long', 'headers')
})

test('Content-Length must be right, and is then the transport\'s to send', () => {
  const job = accepts({ headers: { 'X-A': 'b', 'content-length': '2' } })
  assert.deepEqual(job.headers.list, ['X-A', 'b'])
  assert.deepEqual(accepts({ body: 'ä', headers: { 'Content-Length': '2' } }).headers.list, [])
  accepts({ body: null, headers: { 'Content-Length': '0' } })
  for (const length of ['3', '-1', '2.0', '0x2', '', ' 2', '99999999999999999999']) {
    const changes = { headers: { 'Content-Length': length } }
    refuses(changes, 'invalid_header', 'headers.Content-Length')
  }
})

test('the API key: Authorization, else X-Api-Key, else Api-Key, without case', () => {
  const keyOf = (headers: object): string | null => accepts({ headers }).headers.apiKey
  assert.equal(keyOf({ 'API-KEY': 'c', 'x-api-KEY': 'b', AUTHORIZATION: 'a' }), 'a')
  assert.equal(keyOf({ 'api-key': 'c', 'X-Api-Key': 'b' }), 'b')
  assert.equal(keyOf({ 'Api-Key': 'c', Cookie: 'd' }), 'c')
  assert.equal(keyOf({ Cookie: 'd' }), null)
})

test('bodies: text, base64, or bytes in MessagePack, but one of them', () => {
  const bodyOf = (changes: object): string | undefined =>
    accepts({ body: undefined, ...changes }).body?.toString()
  assert.equal(bodyOf({ body: '' }), '')
  assert.equal(bodyOf({ body: 'ä\u{1f600}' }), 'ä\u{1f600}')
  assert.equal(bodyOf({ body_base64: 'aGk=' }), 'hi')
  assert.equal(bodyOf({ body_base64: 'aGk' }), 'hi')
  assert.equal(bodyOf({ body_base64: '' }), '')
  assert.deepEqual(accepts({ body: Uint8Array.of(0, 255) }).body, Uint8Array.of(0, 255))
  for (const body of [1, {}, [], true]) refuses({ body }, 'wrong_type', 'body')
  refuses({ body: '\udc00' }, 'not_unicode', 'body')
  refuses({ body: undefined, body_base64: 7 }, 'wrong_type', 'body_base64')
  for (const text of ['a', 'aGk==', 'aG=k', '=', '====', 'aG k', 'aGk\n', 'a-_=', 'äÄ==']) {
    refuses({ body: undefined, body_base64: text }, 'invalid_base64', 'body_base64')
  }
  refuses({ body_base64: 'aGk=' }, 'conflicting_fields', 'body_base64')
})

test('the webhook is required unless the result is polled or streamed', () => {
  refuses({ webhook_url: undefined }, 'missing_field', 'webhook_url')
  refuses({ webhook_url: null, delivery: 'webhook' }, 'missing_field', 'webhook_url')
  for (const delivery of ['poll', 'stream']) {
    assert.equal(accepts({ webhook_url: undefined, delivery }).webhook, null)
    assert.equal(accepts({ delivery }).webhook?.origin, accepts({}).webhook?.origin)
    refuses({ webhook_url: 'nonsense', delivery }, 'invalid_url', 'webhook_url')
  }
  for (const delivery of ['', 'Poll', 1, {}, true]) {
    refuses({ delivery }, 'invalid_delivery', 'delivery')
  }
})

test('numbers: whole, in range', () => {
  for (const max_retries of [-1, 0, 100, 3.0]) {
    assert.equal(accepts({ max_retries }).maxRetries, max_retries)
  }
  for (const max_retries of [-2, 101, 1e300]) {
    refuses({ max_retries }, 'out_of_range', 'max_retries')
  }
  for (const max_retries of ['3', 1.5, NaN, true, {}]) {
    refuses({ max_retries }, 'wrong_type', 'max_retries')
  }
  for (const execute_before of [0, -1, 0.5, 1.5, 1.9, 1_795_363_433_000.5, 1e300]) {
    refuses({ execute_before }, 'out_of_range', 'execute_before')
  }
  for (const execute_before of [1e9, 1_795_363_433, 1_795_363_433.5, 9_999_999_999]) {
    refuses({ execute_before }, 'out_of_range', 'execute_before')
  }
  for (const execute_before of [999_999_999, 1e10, 1_795_363_433_000]) {
    assert.equal(accepts({ execute_before }).executeBeforeMs, execute_before)
  }
  for (const execute_before of ['1', NaN, Infinity, {}]) {
    refuses({ execute_before }, 'wrong_type', 'execute_before')
  }
})

test('content types and undecodable bodies', () => {
  for (const type of ['', 'application/json', 'Application/JSON ; charset=utf-8']) {
    assert.equal(formatOf(type), 'json', type)
  }
  assert.equal(formatOf('application/msgpack'), 'msgpack')
  const others = ['text/plain', 'application/jsonx', 'application/x-www-form-urlencoded', ';']
  for (const type of others) {
    assert.equal(formatOf(type), undefined, type)
  }
  const codeOf = (bytes: Buffer, format: 'json' | 'msgpack'): string => {
    const parsed = parseBody(bytes, format)
    return parsed.ok ? 'ok' : `${parsed.code}: ${parsed.error}`
  }
  assert.match(codeOf(Buffer.from('{"a": 1 "b"}'), 'json'), /^invalid_json: .* position 8 on$/)
  assert.match(codeOf(Buffer.from(''), 'json'), /^invalid_json: the body is not valid JSON$/)
  assert.match(codeOf(Buffer.from('"\xff"', 'latin1'), 'json'), /^invalid_json: .*UTF-8$/)
  assert.match(codeOf(Buffer.from('hunter2'), 'json'), /^(?!.*hunter2)invalid_json/)
  assert.match(codeOf(Buffer.from([0xc1]), 'msgpack'), /^invalid_msgpack/)
  assert.equal(codeOf(Buffer.from(encodeValue(GOOD)), 'msgpack'), 'ok')
  assert.match(codeOf(Buffer.from('['.repeat(100_000)), 'json'), /^invalid_json/)
})

/** One small change to a body: a byte, a cut, a doubling, or a token of the format in it. */
function mutate(bytes: Buffer, prng: Prng, tokens: readonly Buffer[]): Buffer {
  const at = prng.below(bytes.length + 1)
  const to = Math.min(bytes.length, at + prng.below(20))
  switch (prng.below(5)) {
    case 0: {
      const copy = Buffer.from(bytes)
      if (at < copy.length) copy[at] = prng.below(256)
      return copy
    }
    case 1: return bytes.subarray(0, at)
    case 2: return Buffer.concat([bytes.subarray(0, to), bytes.subarray(at)])
    case 3: return Buffer.concat([bytes.subarray(0, at), bytes.subarray(to)])
    default:
      return Buffer.concat([bytes.subarray(0, at), prng.pick(tokens), bytes.subarray(to)])
  }
}

test('20,000 mutated bodies: each is a job or a refusal, and nothing is thrown', () => {
  const prng = new Prng(SEED)
  const json = Buffer.from(JSON.stringify(GOOD))
  const msgpack = Buffer.from(encodeValue(GOOD))
  const tokens = [
    '{}', '[]', 'null', '""', '-1', '1e999', '"\\ud800"', '"\\u0000"', ',', ':', '"', '\\',
    '"__proto__":{"user_id":"x"},', '"headers":[],', '"headers":{"Host":"\\r\\n"},',
    '"body_base64":"AAA",', '"delivery":"poll",', '"url":"http://a@b",', '\xff', 'true',
  ].map((token) => Buffer.from(token, 'latin1'))
  let jobs = 0
  for (let round = 0; round < 20_000; round++) {
    const format = prng.chance(0.8) ? 'json' : 'msgpack'
    let bytes: Buffer = format === 'json' ? json : msgpack
    for (let changes = prng.between(0, 4); changes > 0; changes--) {
      bytes = mutate(bytes, prng, tokens)
    }
    const parsed = parseBody(Buffer.from(bytes), format)
    const job = parsed.ok ? validateJob(parsed.value, '', urls) : parsed
    const where = `seed ${SEED}, round ${round}`
    if (job.ok) {
      jobs++
      assert.ok(job.userId !== '' && job.idempotentKey !== '' && job.url.origin !== '', where)
      assert.ok(job.headers.list.every((text) => !/[\r\n\0]/.test(text)), where)
    } else {
      assert.ok(job.code in ERRORS && typeof job.field === 'string' && job.error !== '', where)
    }
  }
  assert.ok(jobs > 2000 && jobs < 18_000, `${jobs} jobs with seed ${SEED}`)
  assert.equal(({} as Record<string, unknown>)['user_id'], undefined)
})
