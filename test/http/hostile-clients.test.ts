// Clients that send garbage, too much, too slowly, or half of it: none gets more than an error,
// none holds up another, and what was begun for them is given back.

import assert from 'node:assert/strict'
import { type TestContext, describe, it } from 'node:test'
import { Prng } from '../../shards/base/prng.ts'
import { jobOf } from '../support/api-client.ts'
import { RawClient, postJobText } from '../support/raw-client.ts'
import { Scene, UNPACED, upstreamFor } from '../support/scene.ts'
import { SEED } from '../support/swarm.ts'

const scene = new Scene({ flags: [...UNPACED, '--shards', '1', '--body-limit', '64KiB'] })

async function clientFor(t: TestContext): Promise<RawClient> {
  const client = await RawClient.connect(scene.server.port)
  t.after(() => client.destroy())
  return client
}

/** A good client gets through, to and fro. */
async function assertServes(t: TestContext): Promise<void> {
  const upstream = await upstreamFor(t)
  assert.equal((await scene.api.run(jobOf(upstream.origin))).status, 'completed')
}

/** Sends bytes and waits for an answer or the end of the connection; the status, or 0 for none. */
async function statusOf(t: TestContext, bytes: string | Buffer): Promise<number> {
  const client = await clientFor(t)
  client.write(bytes)
  const [status] = await client.waitForAnswers(1)
  return status ?? 0
}

/** Refused with a status of 4xx or 5xx, or by closing the connection without a word. */
async function assertRefused(t: TestContext, bytes: string | Buffer): Promise<void> {
  const status = await statusOf(t, bytes)
  assert.ok(status === 0 || status >= 400, `${status} for ${String(bytes).slice(0, 100)}`)
}

const HEAD = 'POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'

describe('bytes that are no request', { concurrency: true }, () => {
  const cases: ReadonlyArray<readonly [string, string | Buffer]> = [
    ['a line of text', 'hello?\r\n\r\n'],
    ['bytes at random', Buffer.concat([Buffer.from([0, 255, 1, 22, 3, 1]), Buffer.alloc(600, 0xaa),
      Buffer.from('\r\n\r\n')])],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['a TLS handshake', Buffer.concat([Buffer.from('1603010200010001fc0303', 'hex'),
      Buffer.alloc(500, 7), Buffer.from('\r\n\r\n')])],
    ['HTTP/9.9', 'GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n'],
    ['a header without a colon', 'GET /health HTTP/1.1\r\nHost: localhost\r\nnothing here\r\n\r\n'],
    ['a NUL in a header', 'GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: \u0000\r\n\r\n'],
    ['a length that is no number', `${HEAD}Content-Length: many\r\n\r\n{}`],
    ['a length below zero', `${HEAD}Content-Length: -5\r\n\r\n{}`],
    ['a length beyond all numbers', `${HEAD}Content-Length: ${'9'.repeat(30)}\r\n\r\n{}`],
    ['two lengths that differ', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} `],
    ['a length and chunks', `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n` +
      '0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'],
    ['a chunk whose size is none',
      `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`],
    ['another transfer encoding', `${HEAD}Transfer-Encoding: gzip\r\n\r\n{}`],
  ]
  for (const [name, bytes] of cases) {
    it(`are refused: ${name}`, (t) => assertRefused(t, bytes))
  }

  it('are refused when they are mutations of a good request', async (t) => {
    const upstream = await upstreamFor(t)
    const prng = new Prng(SEED)
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(postJobText(jobOf(upstream.origin), 'Connection: close\r\n'))
      for (let left = prng.between(1, 8); left > 0; left--) {
        bytes[prng.below(bytes.length)] = prng.below(256)
      }
      const client = await RawClient.connect(scene.server.port)
      client.write(bytes)
      client.socket.end()
      await client.waitForClose()
    }
    await assertServes(t)
  })
})

describe('requests of which it cannot be said where they end', { concurrency: true }, () => {
  const chunked = (headers: string): string =>
    `${HEAD}${headers}\r\n\r\n2\r\n{}\r\n0\r\n\r\n`
  const cases: readonly (readonly [string, string])[] = [
    ['two lengths that differ', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`],
    ['two lengths alike', `${HEAD}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`],
    ['two hosts', 'GET /ready HTTP/1.1\r\nHost: localhost\r\nHost: t\r\n\r\n'],
    ['an empty host', 'GET /jobs/1 HTTP/1.1\r\nHost:\r\n\r\n'],
    ['gzip, chunked', chunked('Transfer-Encoding: gzip, chunked')],
    ['chunked and something else', chunked('Transfer-Encoding: chunked\r\nTransfer-Encoding: x')],
    ['another coding', chunked('Transfer-Encoding: xchunked')],
  ]
  for (const [name, bytes] of cases) {
    it(`are answered 400: ${name}`, async (t) => {
      const client = await clientFor(t)
      client.write(bytes)
      await client.waitForClose()
      assert.deepEqual(client.statuses, [400])
      assert.match(client.received, /"code":"invalid_framing"/)
      assert.match(client.received, /connection: close/i)
    })
  }

  it('end the connection before what would be a request behind them is looked at', async (t) => {
    const hidden = 'GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const client = await clientFor(t)
    client.socket.cork()
    client.write(`${HEAD}Content-Length: 2\r\nContent-Length: ${2 + hidden.length}\r\n\r\n`)
    client.write(`{}${hidden}`)
    client.socket.uncork()
    await client.waitForClose()
    assert.ok(!client.received.includes('ready'))
  })

  it('are not: CHUNKED in capitals', async (t) => {
    assert.equal(await statusOf(t, chunked('Transfer-Encoding: CHUNKED')), 400)
    const client = await clientFor(t)
    client.write(chunked('Transfer-Encoding: CHUNKED'))
    await client.waitForAnswers(1)
    assert.match(client.received, /"code":"missing_field"/)
  })

  it('an answer to HEAD keeps the connection', async (t) => {
    const client = await clientFor(t)
    for (let round = 1; round <= 3; round++) {
      client.write('HEAD /ready HTTP/1.1\r\nHost: localhost\r\n\r\n')
      assert.equal((await client.waitForAnswers(round)).length, round)
    }
    assert.match(client.received, /content-length: 18\r\n/)
    assert.ok(!client.closed)
  })
})

describe('requests that are too large', { concurrency: true }, () => {
  it('are refused: a header block, a URL, and headers without end', async (t) => {
    const large = 'x'.repeat(20_000)
    await assertRefused(t, `GET /health HTTP/1.1\r\nHost: localhost\r\nX-Large: ${large}\r\n\r\n`)
    await assertRefused(t, `GET /jobs/${large} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    await assertRefused(t,
      `GET /health HTTP/1.1\r\nHost: localhost\r\n${'X-A: b\r\n'.repeat(5000)}`)
    await assertRefused(t,
      `GET /health HTTP/1.1\r\nHost: localhost\r\n${'X-A: b\r\n'.repeat(500)}\r\n`)
  })

  it('are refused with 413 by what they announce, before they have come', async (t) => {
    assert.equal(await statusOf(t, `${HEAD}Content-Length: 65537\r\n\r\n`), 413)
    assert.equal(await statusOf(t, `${HEAD}Content-Length: 99999999999\r\n\r\n{`), 413)
  })

  it('are refused with 413 as they come, when they announce nothing', async (t) => {
    const client = await clientFor(t)
    client.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`)
    const chunk = `1000\r\n${' '.repeat(4096)}\r\n`
    // The last of them is one too many; what came after it could reset the connection unread.
    for (let sent = 0; sent < 17; sent++) client.write(chunk)
    assert.deepEqual(await client.waitForAnswers(1), [413])
    await client.waitForClose()
  })

  it('are not: a body in chunks', async (t) => {
    const upstream = await upstreamFor(t)
    const body = JSON.stringify(jobOf(upstream.origin))
    const chunks = [...body].map((character) => `1\r\n${character}\r\n`).join('')
    const bytes = `${HEAD}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`
    assert.equal(await statusOf(t, bytes), 201)
    await upstream.waitFor(1)
  })
})

describe('clients', { concurrency: true }, () => {
  it('that send headers and body byte by byte are served', async (t) => {
    const upstream = await upstreamFor(t)
    const client = await clientFor(t)
    client.socket.setNoDelay(true)
    const text = postJobText(jobOf(upstream.origin))
    // uWebSockets.js answers 505 when the packet ends inside the request line's `HTTP/1.1`.
    const lineEnd = text.indexOf('\n') + 1
    client.write(text.slice(0, lineEnd))
    for (const character of text.slice(lineEnd)) {
      client.write(character)
      await new Promise(setImmediate)
    }
    assert.deepEqual(await client.waitForAnswers(1), [201])
    await upstream.waitFor(1)
  })

  it('that go away in the middle of a body are forgotten', async (t) => {
    for (let round = 0; round < 200; round++) {
      const client = await RawClient.connect(scene.server.port)
      client.write(`${HEAD}Content-Length: 60000\r\n\r\n${'{'.repeat(round * 100)}`)
      if (round % 2 === 0) client.socket.resetAndDestroy()
      else client.destroy()
    }
    await assertServes(t)
  })

  it('that go away before the answer leave a job that is executed once', async (t) => {
    const upstream = await upstreamFor(t)
    const jobs = Array.from({ length: 100 }, () => jobOf(upstream.origin))
    for (const job of jobs) {
      const client = await RawClient.connect(scene.server.port)
      client.socket.end(postJobText(job))
    }
    for (const job of jobs) {
      const answer = await scene.api.post(job)
      assert.ok(answer.status === 200 || answer.status === 201)
      await scene.api.finished(String(answer.body.job_id))
    }
    assert.equal(upstream.requests.length, 100)
    while ((await scene.api.health()).admission.pending > 0) { /* not yet */ }
  })

  it('that connect and say nothing hold up nobody', async (t) => {
    const idle = await Promise.all(Array.from({ length: 500 }, () => clientFor(t)))
    await assertServes(t)
    for (const client of idle) client.destroy()
  })

  it('that pipeline are served or cut off, and get no answer that is not theirs', async (t) => {
    const client = await clientFor(t)
    client.write('GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(50))
    const statuses = await client.waitForAnswers(50)
    assert.deepEqual(new Set(statuses), new Set([200]))
    const upstream = await upstreamFor(t)
    const jobs = Array.from({ length: 10 }, () => jobOf(upstream.origin))
    const eager = await clientFor(t)
    eager.write(jobs.map((job) => postJobText(job)).join(''))
    for (const status of await eager.waitForAnswers(10)) assert.equal(status, 201)
    for (const job of jobs) {
      const answer = await scene.api.post(job)
      await scene.api.finished(String(answer.body.job_id))
    }
    assert.equal(upstream.requests.length, 10, 'each job is executed once, answered or not')
  })

  it('that pipeline garbage behind a request have at most the request executed', async (t) => {
    const upstream = await upstreamFor(t)
    const client = await clientFor(t)
    const garbage = `\u0000\u0001garbage ${'!'.repeat(50)}\r\n\r\n`
    client.write(`GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n${garbage}`)
    await client.waitForClose()
    assert.ok([200, 400, 505].includes(client.statuses[0] ?? 0))
    const job = jobOf(upstream.origin)
    const poster = await clientFor(t)
    poster.write(postJobText(job) + garbage)
    await poster.waitForClose()
    const answer = await scene.api.post(job)
    await scene.api.finished(String(answer.body.job_id))
    assert.equal(upstream.requests.length, 1)
  })
})

describe('after all of that', () => {
  it('nothing waits, nothing streams, and a good client is served', async (t) => {
    await assertServes(t)
    const { admission } = await scene.api.health()
    assert.equal(admission.pending, 0)
    assert.equal(admission.streams, 0)
  })
})
