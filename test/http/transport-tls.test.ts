// The transport over TLS, on real sockets: whom it trusts, and which name it checks.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { startUpstream } from '../support/scene.ts'
import { startTransport } from '../support/started-transport.ts'
import { LOCAL_CERTIFICATE, OTHER_CERTIFICATE } from '../support/tls.ts'
import { outgoing } from '../support/transport-recorder.ts'

describe('TLS', () => {
  it('refuses an unknown authority', async (t) => {
    const upstream = await startUpstream(t, { certificate: LOCAL_CERTIFICATE })
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin))
    assert.equal((await heard.waitFor(1)).reason, 'tls_error')
    await upstream.connections.waitForOpen(0)
  })

  it('trusts the authorities that the operator adds', async (t) => {
    const upstream = await startUpstream(t, { certificate: LOCAL_CERTIFICATE })
    const { heard } = startTransport(t, { extraCaPem: LOCAL_CERTIFICATE.cert })
    heard.send(1, outgoing(upstream.origin, { method: 'POST', body: Buffer.from('secret') }))
    assert.equal((await heard.waitFor(1)).body, 'ok')
    assert.equal(upstream.requests[0]?.body.toString(), 'secret')
  })

  it('checks the name in the URL, whatever the Host header says', async (t) => {
    const right = await startUpstream(t, { certificate: LOCAL_CERTIFICATE })
    const wrong = await startUpstream(t, { certificate: OTHER_CERTIFICATE })
    const { heard } = startTransport(t, {
      extraCaPem: LOCAL_CERTIFICATE.cert + OTHER_CERTIFICATE.cert,
    })
    const headers = ['Host', 'other.test']
    heard.send(1, outgoing(right.origin, { headers }))
    heard.send(2, outgoing(wrong.origin, { headers }))
    heard.send(3, outgoing(wrong.origin))
    assert.equal((await heard.waitFor(1)).body, 'ok')
    assert.equal((await heard.waitFor(2)).reason, 'tls_error')
    assert.equal((await heard.waitFor(3)).reason, 'tls_error')
    assert.equal(wrong.requests.length, 0)
  })

  it('fails against a server that does not speak it', async (t) => {
    const upstream = await startUpstream(t)
    const { heard } = startTransport(t)
    heard.send(1, outgoing(upstream.origin.replace('http:', 'https:')))
    assert.equal((await heard.waitFor(1)).reason, 'tls_error')
  })
})
