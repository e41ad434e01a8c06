// A batch whose client sends on but reads no answers.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SystemClock } from '../../../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../../../shards/base/units.ts'
import { ClientBytes } from '../../../../src/base/client-bytes.ts'
import { BATCH_UNREAD_MS_MAX, CLIENT_BYTES_MIN } from '../../../../src/base/client-limits.ts'
import type { Questions } from '../../../../src/engine/questions.ts'
import { Batch } from '../../../../src/http/batch.ts'
import { Exchange } from '../../../../src/http/exchange.ts'
import { PausedRequests } from '../../../../src/http/paused-requests.ts'
import type { StreamedResponse } from '../../../../src/http/uws.ts'
import type { Submissions } from '../../../../src/submit/submissions.ts'

/** A batch of which each job is refused, on a connection that takes no more. */
function unread() {
  const log = { info: () => {}, warn: () => {}, error: () => {} }
  const pool = new ClientBytes(CLIENT_BYTES_MIN, new SystemClock(), log)
  const paused = new PausedRequests()
  let isPaused = false
  let isOpen = true
  const on = {
    aborted: () => {}, writable: () => true, data: (_chunk: ArrayBuffer, _isLast: boolean) => {},
  }
  const response = {
    writeStatus: () => response,
    writeHeader: () => response,
    cork: (write: () => void) => write(),
    write: () => false,
    pause: () => { isPaused = true },
    resume: () => { isPaused = false },
    getRemoteAddress: () => new ArrayBuffer(4),
    onAborted: (handler: () => void) => { on.aborted = handler },
    onWritable: (handler: () => boolean) => { on.writable = handler },
    onData: (handler: typeof on.data) => { on.data = handler },
    close: () => {
      isOpen = false
      on.aborted()
    },
  }
  const submissions = {
    submit: (batch: Batch, ref: number) => batch.denied(ref, { code: 'invalid_json', error: '' }),
  } as unknown as Submissions
  Batch.begin({
    submissions, questions: {} as Questions, pool, paused, jobsMax: 100, bodyBytesMax: 1000,
    flushSoon: () => {}, countInvalid: () => {},
  }, new Exchange(response as unknown as StreamedResponse, false),
  response as unknown as StreamedResponse, false)
  const send = (): void => on.data(new TextEncoder().encode('{}\n').buffer, false)
  return {
    on, paused, pool, send, state: () => ({ isOpen, isPaused, isCounted: pool.counts.used > 0 }),
  }
}

const atMs = (ms: number): Micros => msToUs(1000 + ms) as Micros

test('is disconnected after a while, and nothing is counted any more', () => {
  const { paused, send, state } = unread()
  send()
  assert.deepEqual(state(), { isOpen: true, isPaused: true, isCounted: true })
  paused.check(atMs(0))
  // The connection is watched until more of the body comes.
  assert.deepEqual(state(), { isOpen: true, isPaused: false, isCounted: true })
  send()
  assert.equal(state().isPaused, true)
  paused.check(atMs(BATCH_UNREAD_MS_MAX - 1))
  send()
  assert.equal(state().isOpen, true)
  paused.check(atMs(BATCH_UNREAD_MS_MAX))
  assert.equal(state().isOpen, false)
  assert.equal(state().isCounted, false)
  assert.equal(paused.count, 0)
})

test('is not disconnected if it reads in between', () => {
  const { on, paused, send, state } = unread()
  send()
  paused.check(atMs(0))
  on.writable()
  send()
  send()
  paused.check(atMs(BATCH_UNREAD_MS_MAX))
  assert.equal(state().isOpen, true)
})
