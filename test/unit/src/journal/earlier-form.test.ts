// A journal that a version without owners of jobs has written, and this one continues.

import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { it } from 'node:test'
import { FactPages } from '../../../../shards/journal/journal-image.ts'
import type { ShardViews } from '../../../../shards/memory/layout.ts'
import { JOBS_PER_PAGE } from '../../../../shards/memory/limits.ts'
import { BATCH_JOBS, JournalScene, NOW_US } from '../../../support/journal-scene.ts'
import { temporaryFolder } from '../../../support/temporary-folder.ts'

const BATCHES = 20

/** Pages of jobs as in form 2 of the data folder. */
const earlierPages = ({ jobs }: ShardViews): FactPages => new FactPages(JOBS_PER_PAGE, [
  jobs.route, jobs.idHigh, jobs.idLow, jobs.keyHigh, jobs.keyLow, jobs.fingerprint,
  jobs.location, jobs.lane, jobs.order, jobs.state, jobs.resultWord, jobs.acceptedS,
], [jobs.timeUs])

async function load(scene: JournalScene, boot: string): Promise<ShardViews> {
  const started = await scene.start(boot)
  assert.ok(started.ok, started.ok ? '' : started.problem)
  return started.views
}

it('jobs in pages of form 2 are of tenant 0, until their page is written again', async (t) => {
  const scene = new JournalScene(temporaryFolder(t))
  const { model } = scene
  for (let batch = 0; batch < BATCHES; batch++) {
    model.change()
    model.views.jobs.owner.fill(0)
    const sequence = ++scene.sequence
    const pages = earlierPages(model.views)
    appendFileSync(scene.fileOf(1),
      model.batch(sequence, NOW_US, BATCH_JOBS * sequence, pages))
    model.written()
  }
  scene.note(1)
  const first = await load(scene, 'boot')
  model.equals(first, NOW_US)
  assert.ok(first.jobs.state.some((state) => state !== 0))
  model.adopt(first)
  scene.write(2, 5)
  scene.note(2)
  const second = await load(scene, 'boot')
  model.equals(second, NOW_US)
  assert.ok(second.jobs.owner.some((owner) => owner !== 0))
  model.adopt(second)
  // The clock of another boot: all pages are written again.
  model.equals(await load(scene, 'other'), NOW_US)
  model.equals(await load(scene, 'other'), NOW_US)
})
