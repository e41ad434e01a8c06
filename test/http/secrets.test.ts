// No secret of a caller, an upstream or a receiver in what the server writes, however talkative it
// is told to be, and none in what it answers to others.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { jobOf } from '../support/api-client.ts'
import { RawClient, postJobText } from '../support/raw-client.ts'
import { Scene, UNPACED, rawUpstreamFor, refusingOriginFor, upstreamFor } from '../support/scene.ts'

const scene = new Scene({
  flags: [...UNPACED, '--shards', '2', '--log-level', 'trace', '--default-timeout', '300ms'],
})

/** In every place where a secret can be. */
const SECRET = 'correct-horse-battery'
const HEADERS = {
  Authorization: `Bearer ${SECRET}`, 'X-Api-Key': SECRET, 'Api-Key': SECRET, Cookie: SECRET,
  'X-Anything': SECRET,
}

describe('a secret', () => {
  it('is in no line of the log, at the lowest level, whatever goes wrong', async (t) => {
    const receiver = await upstreamFor(t)
    const secretive = {
      method: 'POST', headers: HEADERS, body: SECRET, max_retries: 0, user_id: `user-${SECRET}`,
      delivery: 'webhook', webhook_url: `${receiver.origin}/${SECRET}?token=${SECRET}`,
    }
    const talkative = await upstreamFor(t, (_request, response) => {
      response.setHeader('Set-Cookie', SECRET).setHeader('X-Aqueduct-Rps', 'nonsense')
        .setHeader('Authorization', SECRET).writeHead(500, SECRET).end(SECRET)
    })
    const garbled = await rawUpstreamFor(t, (socket) => { socket.end(`${SECRET}\r\n\r\n`) })
    const silent = await rawUpstreamFor(t, () => { /* never answers */ })
    const origins = [
      talkative.origin, garbled.origin, silent.origin, await refusingOriginFor(t),
      talkative.origin.replace('http', 'https'),
    ]
    const ids: string[] = []
    for (const origin of origins) {
      ids.push(await scene.api.accept(jobOf(`${origin}/${SECRET}?key=${SECRET}`, secretive)))
    }
    await receiver.waitFor(origins.length)

    const bad = [
      { ...secretive, method: SECRET }, { ...secretive, url: SECRET },
      { ...secretive, url: `http://user:${SECRET}@host/` }, { ...secretive, webhook_url: SECRET },
      { ...secretive, headers: { ...HEADERS, 'X-Bad': `${SECRET}\n` } },
      { ...secretive, headers: { [`X ${SECRET}`]: 'v' } }, { ...secretive, body_base64: SECRET },
      { ...secretive, delivery: SECRET }, SECRET, [SECRET],
    ]
    for (const job of bad) {
      const answer = await scene.api.post(job, { authorization: SECRET })
      assert.equal(answer.status, 400)
      assert.ok(!answer.bytes.includes(SECRET), answer.bytes.toString())
    }
    const garbage = await RawClient.connect(scene.server.port)
    garbage.write(postJobText(SECRET, `Authorization: ${SECRET}\r\n`).replace('POST', SECRET))
    await garbage.waitForClose()

    await scene.server.waitFor('stderr', /makes no sense/)
    assert.doesNotMatch(scene.server.stdout, new RegExp(SECRET))
    assert.doesNotMatch(scene.server.stderr, new RegExp(SECRET))
    assert.ok(!JSON.stringify(await scene.api.health()).includes(SECRET))
  })

  it('is not sent on with a webhook, but for the response\'s body', async (t) => {
    const receiver = await upstreamFor(t)
    const upstream = await upstreamFor(t, (_request, response) => {
      response.setHeader('Set-Cookie', SECRET).end('public')
    })
    await scene.api.accept(jobOf(upstream.origin, {
      method: 'POST', headers: HEADERS, body: SECRET, delivery: 'webhook',
      webhook_url: receiver.origin,
    }))
    const [request] = await receiver.waitFor(1)
    assert.ok(!request?.rawHeaders.join().includes(SECRET))
    assert.ok(!request.body.includes(SECRET))
  })
})
