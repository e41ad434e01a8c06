// A socket's questions about a job, several of them at once.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OPERATOR } from '../../../../src/access/principal.ts'
import type { Question } from '../../../../src/engine/questions.ts'
import type { SocketData } from '../../../../src/http/server.ts'
import type { WebSocketHandle } from '../../../../src/http/uws.ts'
import { JobSocket, type SocketHost } from '../../../../src/ws/socket.ts'

const JOB = 'f'.repeat(24)

function openSocket() {
  const sent: Record<string, unknown>[] = []
  const asked: Question[] = []
  const counts = { expected: 0, joined: 0, givenUp: 0 }
  const handle = {
    getUserData: () => ({ principal: OPERATOR, wantsAccountQueue: false }),
    send: (message: string) => {
      sent.push(JSON.parse(message) as Record<string, unknown>)
      return 1
    },
    getBufferedAmount: () => 0,
  } as unknown as WebSocketHandle<SocketData>
  const host = {
    questions: { ask: (_kind: string, _id: string, _tenant: number, question: Question) => {
      asked.push(question)
    } },
    watches: {
      mayWatch: () => true, expect: () => { counts.expected++ },
      join: () => { counts.joined++ }, giveUp: () => { counts.givenUp++ },
    },
    spareAnswers: [], flushSoon: () => {}, mayBuffer: () => true, noteBacklog: () => {},
    countInvalid: () => {},
  } as unknown as SocketHost
  const socket = new JobSocket(handle, host)
  const say = (type: string): void =>
    socket.hear(Buffer.from(JSON.stringify({ type, job_id: JOB })), false)
  return { asked, counts, say, sent }
}

test('a cancellation that cannot be answered leaves the watch of the same job', () => {
  const { asked, counts, say, sent } = openSocket()
  say('watch')
  say('cancel')
  asked[1]?.unavailable('overloaded')
  asked[0]?.answered(0, { status: 'queued', attempts: 0 })
  assert.deepEqual(sent.map(({ type }) => type), ['error', 'watched'])
  assert.deepEqual(counts, { expected: 1, joined: 1, givenUp: 0 })
})

test('a watch that cannot be answered is given up once, also when nobody wants it any more', () => {
  for (const types of [['watch'], ['watch', 'unwatch']]) {
    const { asked, counts, say } = openSocket()
    for (const type of types) say(type)
    asked[0]?.unavailable('shard_down')
    assert.deepEqual(counts, { expected: 1, joined: 0, givenUp: 1 })
  }
})
