// The jobs that the load generator sends: their exact sizes, and what is overwritten in them.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PROFILES} from '../../bench/load/payloads.ts';
import {
  LARGE_BODY_BYTES, type PayloadSettings, type RequestPattern, TYPICAL_BODY_BYTES,
  TYPICAL_JSON_BYTES, accountOf, apiKeyOf, patch, requestPattern, shapeChooser, shapesOf,
} from '../../bench/load/payloads.ts'
import { JobUrls } from '../../src/job/job-url.ts'
import { validateJob } from '../../src/job/validate.ts'

const SETTINGS: PayloadSettings = {
  runId: 'abcdef01', upstreams: ['http://127.0.0.1:40000', 'http://127.0.0.1:8080'],
  receiver: 'http://127.0.0.1:40001', host: '127.0.0.1:4000',
}

/** A pattern's JSON. */
function jsonOf({ bytes, jsonBytes }: RequestPattern): Record<string, unknown> {
  const head = bytes.subarray(0, bytes.length - jsonBytes).toString('latin1')
  assert.match(head, new RegExp(`\r\nContent-Length: ${jsonBytes}\r\n\r\n$`))
  return JSON.parse(bytes.subarray(head.length).toString()) as Record<string, unknown>
}

describe('requestPattern', () => {
  it('makes typical jobs of exactly 479 bytes with a body of 214, whatever the ports', () => {
    assert.equal(TYPICAL_JSON_BYTES, 479)
    assert.equal(TYPICAL_BODY_BYTES, 214)
    for (const receiver of [SETTINGS.receiver, 'http://127.0.0.1:80', undefined]) {
      for (const upstream of [0, 1]) {
        const pattern = requestPattern({ ...SETTINGS, receiver }, 'typical', upstream)
        assert.equal(pattern.jsonBytes, 479)
        const { body, headers } = jsonOf(pattern)
        assert.equal(Buffer.byteLength(body as string), 214)
        assert.doesNotThrow(() => JSON.parse(body as string))
        assert.deepEqual(headers, { Authorization: apiKeyOf(0) })
      }
    }
  })

  it('makes jobs that the front door takes, in every shape', () => {
    for (const shape of shapesOf('mixed')) {
      const job = validateJob(jsonOf(requestPattern(SETTINGS, shape, 0)), '', new JobUrls())
      assert.ok(job.ok, JSON.stringify(job))
    }
    const { body } = jsonOf(requestPattern(SETTINGS, 'large', 0))
    assert.equal(Buffer.byteLength(body as string), LARGE_BODY_BYTES)
  })
})

describe('patch', () => {
  it('overwrites the account in both places and the number of the key', () => {
    const pattern = requestPattern(SETTINGS, 'typical', 0)
    const copy: RequestPattern = { ...pattern, bytes: Buffer.from(pattern.bytes) }
    patch(copy.bytes, pattern, 12_345_678, 987_654_321_012)
    assert.deepEqual(jsonOf(copy), {
      ...jsonOf(pattern), user_id: 'user-12345678', idempotent_key: 'abcdef01-987654321012',
      headers: { Authorization: apiKeyOf(12_345_678) },
    })
    patch(copy.bytes, pattern, 0, 0)
    assert.deepEqual(copy.bytes, pattern.bytes)
  })
})

describe('accountOf', () => {
  it('reads back what apiKeyOf wrote, and no other key', () => {
    assert.equal(accountOf(apiKeyOf(4711)), 4711)
    for (const key of ['', 'Bearer sk-live-00000001', `${apiKeyOf(1)}0`]) {
      assert.equal(accountOf(key), -1)
    }
  })
})

describe('shapeChooser', () => {
  it('draws all shapes for mixed, the same ones each time, and one shape else', () => {
    const draw = (profile: (typeof PROFILES)[number]): string[] =>
      Array.from({ length: 200 }, shapeChooser(profile))
    assert.deepEqual(new Set(draw('mixed')), new Set(['typical', 'small', 'large']))
    assert.deepEqual(draw('mixed'), draw('mixed'))
    assert.deepEqual(new Set(draw('large')), new Set(['large']))
  })
})
