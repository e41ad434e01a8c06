// Questions on their way: an account that asks very many holds up neither others nor new jobs.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MIB } from '../../../../shards/base/units.ts'
import { allocateShard, attachShard } from '../../../../shards/memory/layout.ts'
import { planMemory } from '../../../../shards/memory/plan.ts'
import { RingReader } from '../../../../shards/memory/ring.ts'
import type { ShareRefusal } from '../../../../shards/memory/share.ts'
import {
  CODE_NOT_FOUND, WORD_REQUEST, WORD_ROUTE, WORD_TENANT,
} from '../../../../shards/wire/contract.ts'
import { formatJobId } from '../../../../shards/wire/job-id.ts'
import {
  QUESTIONS_IN_RING_MAX, QUESTIONS_PENDING_BULK_MAX,
} from '../../../../src/base/client-limits.ts'
import { QUESTIONS_PENDING_MAX } from '../../../../src/base/limits.ts'
import {
  makeQuestionTable, Questions, type QuestionTable,
} from '../../../../src/engine/questions.ts'
import { BatchBells, openShardLink, type ShardLink } from '../../../../src/engine/shard-link.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

interface Scene {
  readonly questions: Questions
  readonly table: QuestionTable
  readonly link: ShardLink
  readonly reader: RingReader
  readonly refusals: ShareRefusal[]
  /** Answers to the questions of each account, in order. */
  readonly heard: string[]
  readonly ask: (route: number, isBulk?: boolean, tenant?: number) => void
  /** Takes what lies in the ring, as the shard does; the routes that are asked about. */
  readonly take: () => { request: number, route: number, tenant: number }[]
}

function openScene(): Scene {
  const plan = planMemory({
    memoryBytes: 32 * MIB, shards: 1, bodyBytesMax: 1024, responseBytesMax: 1024,
  })
  assert.ok(plan.ok)
  const views = attachShard(allocateShard(plan.limits), plan.limits)
  const link = openShardLink(0, views)
  const reader = new RingReader(views.ingress, true)
  const refusals: ShareRefusal[] = []
  const heard: string[] = []
  const table = makeQuestionTable(1)
  const questions = new Questions([link], new BatchBells([link], () => {}), table, {
    clock: new VirtualTime().clock(), warn: (_, refusal) => { refusals.push(refusal) },
  })
  let asked = 0
  const ask = (route: number, isBulk = true, tenant = 0): void =>
    questions.ask('cancel', formatJobId(route, 0, asked++), tenant, {
      isBulk,
      answered: (code) => { heard.push(`${route} ${code}`) },
      unavailable: (code) => { heard.push(`${route} ${code}`) },
    })
  const take = (): { request: number, route: number, tenant: number }[] => {
    const taken: { request: number, route: number, tenant: number }[] = []
    reader.read((_, offset) => {
      const at = offset / 4
      taken.push({
        request: reader.u32[at + WORD_REQUEST] as number,
        route: reader.u32[at + WORD_ROUTE] as number,
        tenant: reader.u32[at + WORD_TENANT] as number,
      })
      return true
    }, Infinity)
    return taken
  }
  return { questions, table, link, reader, refusals, heard, ask, take }
}

const MANY = 5000

test('a shard has few questions in its ring, and accounts take turns', () => {
  const { ask, heard, questions, take } = openScene()
  for (let at = 0; at < MANY; at++) ask(1)
  ask(2)
  ask(3)
  const first = take()
  assert.equal(first.length, QUESTIONS_IN_RING_MAX, 'a new job waits for so many at the most')
  for (const { request } of first) questions.answered(request, CODE_NOT_FOUND, null)
  const second = take()
  assert.deepEqual(second.slice(0, 4).map(({ route }) => route), [1, 2, 3, 1])
  for (let taken = second; taken.length > 0; taken = take()) {
    for (const { request } of taken) questions.answered(request, CODE_NOT_FOUND, null)
  }
  assert.equal(heard.length, MANY + 2)
  assert.equal(questions.size, 0)
})

test('one account has its share of the questions, and sockets leave some to requests', () => {
  const { ask, heard, questions, refusals, table } = openScene()
  for (let at = 0; at < QUESTIONS_PENDING_MAX; at++) ask(1)
  const share = QUESTIONS_PENDING_BULK_MAX * 2 / 3
  assert.equal(questions.size, share)
  assert.equal(heard.length, QUESTIONS_PENDING_MAX - share)
  assert.ok(heard.every((answer) => answer === '1 overloaded'))
  assert.deepEqual(refusals, ['share'], 'told once')
  ask(2)
  assert.equal(questions.size, share + 1)
  for (let route = 3; questions.size < QUESTIONS_PENDING_BULK_MAX; route++) ask(route)
  ask(2)
  assert.equal(heard.at(-1), '2 overloaded')
  ask(2, false)
  assert.equal(questions.size, QUESTIONS_PENDING_BULK_MAX + 1)
  questions.abandon(0)
  assert.equal(questions.size, 0)
  assert.equal(table.held.counts.used, 0)
  assert.ok(table.held.held.every((count) => count === 0))
})

test('a tenant has its own share, whosever jobs it asks about', () => {
  const { ask, heard, questions, table, take } = openScene()
  for (let at = 0; at < QUESTIONS_PENDING_MAX; at++) ask(1, true, 7)
  const share = QUESTIONS_PENDING_BULK_MAX * 2 / 3
  assert.equal(questions.size, share)
  heard.length = 0
  ask(2, true, 7)
  assert.deepEqual(heard, ['2 overloaded'])
  ask(1)
  ask(1, true, 65_535)
  assert.equal(questions.size, share + 2)
  for (const { request } of take()) questions.answered(request, CODE_NOT_FOUND, null)
  const tenants = take().map(({ tenant }) => tenant)
  assert.deepEqual(tenants.slice(0, 3).toSorted((a, b) => a - b), [0, 7, 65_535])
  questions.abandon(0)
  assert.ok(table.held.held.every((count) => count === 0))
})

test('a shard that is gone: what it has taken waits on, all else is told', () => {
  const { ask, heard, link, questions, reader, take } = openScene()
  for (let at = 0; at < 2 * QUESTIONS_IN_RING_MAX; at++) ask(1)
  const taken = take()
  for (let at = 0; at < 3; at++) questions.answered(taken[at]?.request ?? 0, CODE_NOT_FOUND, null)
  heard.length = 0
  questions.giveUp(link, 'shard_down')
  const left = QUESTIONS_IN_RING_MAX - 3
  assert.equal(questions.size, left)
  assert.equal(heard.length, QUESTIONS_IN_RING_MAX)
  assert.ok(heard.every((answer) => answer === '1 shard_down'))
  ask(2)
  questions.givenBack(0, reader.position)
  assert.equal(questions.size, 1, 'what was asked later is not given back')
})

test('what finds no room in the ring is sent later', () => {
  const { ask, link, questions, take } = openScene()
  while (link.ingress.fits(16)) {
    link.ingress.claim(99, 16)
    link.ingress.commit()
  }
  ask(1)
  assert.equal(questions.size, 1)
  take()
  questions.tick()
  assert.deepEqual(take().map(({ route }) => route), [1])
})
