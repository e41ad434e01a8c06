// Frames and rows of the journal: read as they were written, and never when anything of them is
// missing or changed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import {
  BatchWriter, FRAME_BYTES_AIM, TABLE_JOBS, TABLE_LOG, forEachRow, readFrame,
} from '../../../../shards/journal/journal-format.ts'
import { SEED } from '../../../support/swarm.ts'

interface Row {
  readonly table: number
  readonly key1: number
  readonly key2: number
  readonly data: Buffer
}

function write(batch: BatchWriter, sequence: number, rows: readonly Row[]): Buffer {
  batch.begin(sequence, 2 * sequence)
  for (const { data, key1, key2, table } of rows) {
    const at = batch.row(table, key1, key2, data.length)
    assert.equal(at % 8, 0)
    data.copy(batch.bytes, at)
  }
  return Buffer.from(batch.finish())
}

/** All rows of a batch that is whole; undefined for one that is not. */
function read(bytes: Buffer, sequence: number): Row[] | undefined {
  const rows: Row[] = []
  for (let at = 0; ;) {
    const frame = readFrame(bytes, at)
    if (frame === undefined) return undefined
    assert.deepEqual([frame.sequence, frame.accepted], [sequence, 2 * sequence])
    forEachRow(bytes, frame, (table, key1, key2, source, start, end) => {
      rows.push({ table, key1, key2, data: Buffer.from(source.subarray(start, end)) })
    })
    if (frame.isLast) return rows
    at = frame.end
  }
}

function drawRows(prng: Prng): Row[] {
  const large = prng.chance(0.2)
  return Array.from({ length: prng.below(40) }, () => ({
    table: prng.between(TABLE_JOBS, TABLE_LOG), key1: prng.uint32(), key2: prng.uint32(),
    data: Buffer.alloc(prng.below(large ? FRAME_BYTES_AIM : 100), prng.below(256)),
  }))
}

test('a batch is read as it was written, whatever its rows', () => {
  const prng = new Prng(SEED)
  const batch = new BatchWriter()
  for (let round = 0; round < 300; round++) {
    const rows = drawRows(prng)
    const bytes = write(batch, round, rows)
    assert.equal(bytes.length, batch.length)
    assert.deepEqual(read(bytes, round), rows, `seed ${SEED}, round ${round}`)
  }
})

test('a batch that was cut off anywhere is no batch', () => {
  const prng = new Prng(SEED)
  const bytes = write(new BatchWriter(), 7, drawRows(prng).concat(drawRows(prng)))
  for (let cut = 0; cut < 500; cut++) {
    assert.equal(read(bytes.subarray(0, prng.below(bytes.length)), 7), undefined)
  }
})

test('a changed bit is noticed, wherever it is', () => {
  const rows = [{ table: TABLE_JOBS, key1: 1, key2: 2, data: Buffer.from('twelve bytes') }]
  const bytes = write(new BatchWriter(), 7, rows)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >>> 3] = (damaged[bit >>> 3] as number) ^ (1 << (bit & 7))
    assert.equal(readFrame(damaged, 0), undefined, `bit ${bit}`)
  }
})

test('a large batch is many frames, of which only the last ends it', () => {
  const rows = Array.from({ length: 40 }, (_, key1) => ({
    table: TABLE_LOG, key1, key2: 0, data: Buffer.alloc(FRAME_BYTES_AIM / 10, key1),
  }))
  const bytes = write(new BatchWriter(), 1, rows)
  let frames = 0
  for (let at = 0; at < bytes.length; frames++) {
    const frame = readFrame(bytes, at)
    assert.ok(frame !== undefined)
    assert.equal(frame.isLast, frame.end === bytes.length)
    at = frame.end
  }
  assert.ok(frames >= 4, `${frames} frames`)
})
