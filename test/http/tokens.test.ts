// JSON Web Tokens end to end: a request whose token is not known yet waits until it is verified,
// whatever kind of request it is, and the token then says for whom it is.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type JWTPayload, SignJWT, exportJWK, generateKeyPair } from 'jose'
import { get, post, send } from '../support/client.ts'
import { EventStream } from '../support/event-stream.ts'
import { Gate, upstreamFor } from '../support/scene.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { SocketClient } from '../support/socket-client.ts'

const ISSUER = 'https://login.example/'
const { privateKey, publicKey } = await generateKeyPair('ES256')
const { privateKey: strangersKey } = await generateKeyPair('ES256')

type PrivateKey = typeof privateKey

interface Issuer {
  readonly server: TestServer
  /** The header with a token of these claims, for an hour unless they say otherwise. */
  readonly bearer: (claims: JWTPayload, key?: PrivateKey) => Promise<{ authorization: string }>
}

/** A server that fetches its key set from an issuer. */
async function start(t: TestContext): Promise<Issuer> {
  const jwk = { ...await exportJWK(publicKey), kid: 'one', alg: 'ES256' }
  const issuer = createServer((_, response) => response.end(JSON.stringify({ keys: [jwk] })))
  await new Promise<void>((resolve) => { issuer.listen(0, '127.0.0.1', resolve) })
  t.after(() => issuer.close())
  const { port } = issuer.address() as AddressInfo
  const server = await startServer({
    flags: ['--grace', '0s', '--jwt-jwks', `http://127.0.0.1:${port}/keys`, '--jwt-issuer', ISSUER,
      '--jwt-audience', 'sluice', '--jwt-clock-skew', '0s', '--jwt-user-claim', 'sub'],
  }, t)
  const bearer: Issuer['bearer'] = async (claims, key = privateKey) => {
    const token = await new SignJWT({ scope: 'submit read', ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' }).setIssuer(ISSUER).setAudience('sluice')
      .setExpirationTime(claims.exp ?? '1h').sign(key)
    return { authorization: `Bearer ${token}` }
  }
  return { server, bearer }
}

test('requests wait until their token is verified, and are then its tenant\'s', async (t) => {
  const gate = new Gate()
  const upstream = await upstreamFor(t, gate.hold((_, response) => response.end('ok')))
  t.after(() => gate.open())
  const { bearer, server: { url } } = await start(t)
  const job = (key: string, body = ''): object => ({
    idempotent_key: key, url: `${upstream.origin}/`, method: 'POST', delivery: 'poll', body,
  })
  const ann = await bearer({ tenant: 7, sub: 'ann' })
  const answers = await Promise.all(Array.from({ length: 20 }, (_, at) =>
    post(`${url}/jobs`, job(`k${at}`, 'x'.repeat(1000 * at)), ann)))
  assert.deepEqual(answers.map(({ status }) => status), answers.map(() => 201))
  const jobId = String(answers[0]?.json()['job_id'])
  for (const [claims, expected] of [
    [{ tenant: 7, sub: 'ben' }, 200], [{ tenant: 8, sub: 'ann' }, 404],
    [{ tenant: 7, sub: 'ann', scope: 'submit' }, 403],
  ] as const) {
    const headers = await bearer(claims)
    assert.equal((await get(`${url}/jobs/${jobId}`, headers)).status, expected)
    if (expected === 200) continue
    const fresh = await bearer({ ...claims, jti: 'another' })
    assert.equal((await get(`${url}/jobs/${jobId}/stream`, fresh)).status, expected)
  }
  const batch = await post(`${url}/jobs/batch`, `${JSON.stringify(job('b'))}\n`,
    {
      ...await bearer({ tenant: 7, sub: 'ann', jti: 'b' }),
      'content-type': 'application/x-ndjson',
    },
  )
  assert.equal(batch.json()['status'], 'queued')
  const socket = await SocketClient.open(url, 'json',
    { headers: await bearer({ tenant: 7, sub: 'ann', jti: 'socket' }) })
  socket.send({ type: 'watch', job_id: jobId })
  await socket.take('watched')
  socket.ws.close()
  const named = await post(`${url}/jobs`, { ...job('n'), user_id: 'ben' }, ann)
  assert.equal(named.json()['code'], 'user_not_allowed')
})

test('tokens that are wrong are refused, and none at all is told what to send', async (t) => {
  const { bearer, server: { url } } = await start(t)
  const past = Math.floor(Date.now() / 1000) - 10
  const unsigned = `${(await bearer({ tenant: 1 })).authorization.slice(0, -5)}AAAAA`
  for (const headers of [
    await bearer({ tenant: 1, exp: past }), await bearer({ tenant: 1 }, strangersKey),
    await bearer({ tenant: 70_000 }), await bearer({}), { authorization: unsigned },
  ]) {
    for (let again = 0; again < 2; again++) {
      const answer = await send('DELETE', `${url}/jobs/x`, undefined, headers)
      assert.deepEqual([answer.status, answer.json()['code']], [401, 'invalid_key'])
    }
  }
  const forged = await Promise.all([1000, 200_000, 900_000].map(async (bytes) =>
    post(`${url}/jobs`, 'x'.repeat(bytes), await bearer({ tenant: 1, jti: String(bytes) },
      strangersKey)).catch(() => undefined)))
  assert.equal(forged[0]?.status, 401, 'a body that is held in part ends nobody but its request')
  const none = await get(`${url}/jobs/x`)
  assert.deepEqual([none.status, none.json()['code']], [401, 'key_required'])
})

test('what was opened with a token ends when the token does', async (t) => {
  const gate = new Gate()
  const upstream = await upstreamFor(t, gate.hold((_, response) => response.end('ok')))
  t.after(() => gate.open())
  const { bearer, server: { url } } = await start(t)
  const lasting = await bearer({ tenant: 7, sub: 'ann' })
  const job = { idempotent_key: 'k', url: `${upstream.origin}/`, method: 'GET', delivery: 'poll' }
  const jobId = String((await post(`${url}/jobs`, job, lasting)).json()['job_id'])
  const short = await bearer({ tenant: 7, sub: 'ann', exp: Math.floor(Date.now() / 1000) + 3 })
  const kept = await EventStream.join(url, jobId, undefined, lasting)
  const stream = await EventStream.join(url, jobId, undefined, short)
  const socket = await SocketClient.open(url, 'json', { headers: short })
  assert.equal((await socket.closed).code, 1008)
  await stream.ended()
  assert.ok(!kept.closed)
})
