// Model: the batches that were written, each with its place in its tail and its new jobs.
// Method: the newest tails are cut off anywhere, and what was noted of their reach is as new as it
// may be, older, or missing. A start takes all batches before the cut and says what is behind it,
// or refuses when the end of a process cannot have been the reason.

import assert from 'node:assert/strict'
import { rmSync, statSync, truncateSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { Prng } from '../../../../shards/base/prng.ts'
import { FRAME_HEADER_BYTES } from '../../../../shards/journal/journal-format.ts'
import { EXTENT_FILE } from '../../../../shards/journal/tail-names.ts'
import { BATCH_JOBS, JournalScene } from '../../../support/journal-scene.ts'
import { SEED } from '../../../support/swarm.ts'
import { quickFolder } from '../../../support/temporary-folder.ts'

const RUNS = 60
const TAILS_MAX = 3
const BATCHES_MAX = 5

interface Written {
  readonly tail: number
  readonly start: number
}

function writeTails(scene: JournalScene, prng: Prng): Written[] {
  const written: Written[] = []
  const tails = prng.between(1, TAILS_MAX)
  for (let tail = 1; tail <= tails; tail++) {
    const starts = scene.write(tail, prng.between(1, BATCHES_MAX))
    written.push(...starts.map((start) => ({ tail, start })))
  }
  return written
}

/** Cuts a tail off somewhere, and all that come later. @returns the bytes that are left of it. */
function cutOff(scene: JournalScene, prng: Prng, tail: number, tails: number): number {
  for (let later = tail + 1; later <= tails; later++) rmSync(scene.fileOf(later))
  const left = prng.below(statSync(scene.fileOf(tail)).size + 1)
  truncateSync(scene.fileOf(tail), left)
  return left
}

async function run(prng: Prng, folder: string): Promise<void> {
  const scene = new JournalScene(folder)
  assert.ok((await scene.start('one')).ok)
  const written = writeTails(scene, prng)
  const tails = written.at(-1)?.tail ?? 0
  const noted = prng.chance(0.3) ? 0 : prng.between(1, written.length)
  scene.note(written[noted - 1]?.tail ?? 0, noted)
  if (noted === 0) rmSync(path.join(folder, EXTENT_FILE))
  const tail = prng.between(1, tails)
  const size = statSync(scene.fileOf(tail)).size
  const left = cutOff(scene, prng, tail, tails)
  // Where each batch of that tail ends is where the next begins.
  const whole = written.filter((batch, at) => {
    const next = written[at + 1]
    const end = next?.tail === batch.tail ? next.start : size
    return batch.tail < tail || (batch.tail === tail && end <= left)
  }).length
  const begun = written[whole]
  const torn = begun?.tail === tail ? left - begun.start : 0
  const hasStopped = prng.chance(0.5)
  const start = await scene.start(hasStopped ? 'two' : 'one')
  if (!hasStopped && noted > whole) {
    assert.ok(!start.ok)
    assert.ok(start.problem.includes(`(missing batches: ${noted - whole}; ` +
      `new jobs in them: ${BATCH_JOBS * (noted - whole)})`), start.problem)
    return
  }
  assert.ok(start.ok, start.ok ? '' : start.problem)
  assert.equal(start.state.sequence, whole)
  const missing = Math.max(0, noted - whole)
  if (torn === 0 && missing === 0) return assert.equal(start.dropped, null)
  const { batches, bytes, jobs } = start.dropped ?? {}
  const told = torn < FRAME_HEADER_BYTES ? missing : Math.max(1, missing)
  assert.deepEqual([batches, bytes, jobs], [missing, torn, told === 0 ? null : BATCH_JOBS * told])
  const again = await scene.start(hasStopped ? 'two' : 'one')
  assert.ok(again.ok && again.dropped === null, 'it is said once')
}

test('a start says what is missing at the end, wherever that was cut off', async (t) => {
  const folder = quickFolder(t)
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    try {
      await run(new Prng(seed), path.join(folder, String(seed)))
    } catch (error) {
      assert.fail(`SLUICE_SEED=${seed}: ${error instanceof Error ? error.stack : String(error)}`)
    }
  }
})
