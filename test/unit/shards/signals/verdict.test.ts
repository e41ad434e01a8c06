// What statuses and errors mean: every status, and the codes that sockets, TLS and undici give.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { FailureReason } from '../../../../shards/signals/response.ts'
import {
  classify, type ClientError, failureReason, mayFailureRetry,
} from '../../../../shards/signals/verdict.ts'

describe('classify', () => {
  it('takes 2xx, 3xx and 4xx for an answer, but for 408 and 429', () => {
    for (let status = 200; status < 500; status++) {
      const expected = status === 408 || status === 429 ? 'retry' : 'completed'
      assert.equal(classify(status), expected, String(status))
    }
  })

  it('has 5xx and what is no status of HTTP tried again', () => {
    for (const status of [500, 502, 503, 504, 599, 600, 999, 0, 100, 199]) {
      assert.equal(classify(status), 'retry', String(status))
    }
  })
})

describe('mayFailureRetry', () => {
  it('gives up only what can never be sent', () => {
    const reasons: FailureReason[] = [
      'connection_error', 'dns_error', 'tls_error', 'protocol_error',
      'response_headers_too_large', 'timeout',
    ]
    for (const reason of reasons) assert.equal(mayFailureRetry(reason), true, reason)
    assert.equal(mayFailureRetry('request_refused'), false)
    assert.equal(mayFailureRetry('address_refused'), false)
  })
})

describe('failureReason', () => {
  const reason = (code: unknown, options: {
    message?: string; name?: string; errors?: ClientError[]
  } = {}): FailureReason =>
    failureReason({
      code, message: options.message ?? '', name: options.name ?? 'Error',
      errors: options.errors ?? [],
    })
  const inHandshake = { name: 'HandshakeError' }

  it('knows the errors of sockets and names', () => {
    for (const code of ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'EHOSTUNREACH', 'UND_ERR_SOCKET']) {
      assert.equal(reason(code), 'connection_error', code)
      assert.equal(reason(code, inHandshake), 'tls_error', code)
    }
    for (const code of ['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL']) {
      assert.equal(reason(code), 'dns_error', code)
    }
    for (const code of ['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT']) {
      assert.equal(reason(code), 'timeout', code)
      assert.equal(reason(code, inHandshake), 'timeout', code)
    }
  })

  it('knows a host that was slow at one of its addresses', () => {
    const refused = { name: 'Error', message: 'refused', code: 'ECONNREFUSED' }
    const slow = { name: 'Error', message: 'timed out', code: 'ETIMEDOUT' }
    assert.equal(reason('ECONNREFUSED', { errors: [refused, slow] }), 'timeout')
    assert.equal(reason('ECONNREFUSED', { errors: [refused, refused] }), 'connection_error')
  })

  it('knows a refused certificate by coming in the handshake', () => {
    for (const code of ['CERT_HAS_EXPIRED', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'INVALID_CA']) {
      assert.equal(reason(code, inHandshake), 'tls_error', code)
    }
    for (const code of ['ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_SSL_WRONG_VERSION_NUMBER', 'EPROTO']) {
      assert.equal(reason(code), 'tls_error', code)
    }
  })

  it('tells a broken body from one that is not HTTP', () => {
    const parser = { name: 'HTTPParserError' }
    assert.equal(reason(undefined, { ...parser, message: '… (Invalid EOF state)' }),
      'connection_error')
    assert.equal(reason(undefined, { ...parser, message: '… (Invalid header attemptId)' }),
      'protocol_error')
    assert.equal(reason('UND_ERR_RES_CONTENT_LENGTH_MISMATCH'), 'connection_error')
    assert.equal(reason('UND_ERR_SOCKET', { message: 'bad response' }), 'protocol_error')
    assert.equal(reason('UND_ERR_HEADERS_OVERFLOW'), 'response_headers_too_large')
  })

  it('refuses what undici refuses', () => {
    for (const code of ['UND_ERR_INVALID_ARG', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH']) {
      assert.equal(reason(code), 'request_refused', code)
    }
  })

  it('has an answer for an error without a code', () => {
    assert.equal(reason(undefined), 'connection_error')
    assert.equal(reason(undefined, inHandshake), 'tls_error')
    assert.equal(reason(7), 'connection_error')
  })
})
