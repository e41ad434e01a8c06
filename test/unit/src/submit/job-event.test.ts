// What an event's id says: its place in the life of its job, and nothing for any other text.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  EVENT_CANCELLED, EVENT_COMPLETED, EVENT_DISPATCHING, EVENT_FAILED, EVENT_POSITION, EVENT_QUEUED,
  EVENT_RETRYING,
} from '../../../../shards/wire/contract.ts'
import { JobEvent, NO_PLACE, placeOfId } from '../../../../src/submit/job-event.ts'

const event = (kind: number, data: object = {}): JobEvent => new JobEvent('id', kind, data)
const idOf = ({ stream }: JobEvent): string | undefined => /^id: (.*)$/m.exec(stream)?.[1]

test('the places of a job\'s events go up, and each is read from its id', () => {
  const life = [event(EVENT_QUEUED)]
  for (const attempt of [1, 2, 3, 65_535]) {
    life.push(event(EVENT_DISPATCHING, { attempt }), event(EVENT_RETRYING, { attempt }))
  }
  for (const [at, one] of life.entries()) {
    assert.equal(placeOfId(idOf(one) ?? ''), one.place)
    assert.ok(at === 0 || one.place > Number(life[at - 1]?.place))
  }
  for (const kind of [EVENT_COMPLETED, EVENT_FAILED, EVENT_CANCELLED]) {
    assert.ok(event(kind).place > Number(life.at(-1)?.place))
    assert.equal(placeOfId(idOf(event(kind)) ?? ''), NO_PLACE, 'true of one job, not of another')
  }
})

test('a position has no id, and no other text is one', () => {
  assert.equal(idOf(event(EVENT_POSITION, { position: 3 })), undefined)
  assert.equal(event(EVENT_POSITION).place, NO_PLACE)
  for (const text of ['', 'position', 'queued-1', 'dispatching', 'dispatching-', 'dispatching--1',
    'dispatching-1x', 'retrying-123456', 'retrying-1.5', ' queued', 'Queued', '\0']) {
    assert.equal(placeOfId(text), NO_PLACE, text)
  }
})
