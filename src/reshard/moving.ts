// Moves all jobs of a data folder into an image for memory of other sizes; move.ts describes how.

import { existsSync } from 'node:fs'
import path from 'node:path'
import type { PerSecond } from '../../shards/base/units.ts'
import { STORE_FOLDER } from '../../shards/journal/tail-names.ts'
import { allocateShard, allocateShared, attachShard, attachShared, type ShardViews } from
  '../../shards/memory/layout.ts'
import { shardBytes } from '../../shards/memory/plan.ts'
import type { KnownUpstreams } from '../../shards/wire/contract.ts'
import { fail } from '../base/errors.ts'
import type { DataDirectory } from '../journal/directory.ts'
import { reportDropped } from '../journal/dropped.ts'
import type { MovingParts } from '../journal/journals.ts'
import { mergeUpstreams } from '../journal/known-upstreams.ts'
import { loadShard } from '../journal/load.ts'
import { JournalStore } from '../journal/store.ts'
import { Tails } from '../journal/tails.ts'
import { Upstreams } from '../submit/upstream-slots.ts'
import { Move } from './move.ts'
import { writeImage } from './write-image.ts'

/** One old shard in memory. */
interface OldShard {
  readonly views: ShardViews
  readonly known: KnownUpstreams
}

/**
 * Moves everything; afterwards the folder is one for `limits`. Fails with numbers when the jobs do
 * not fit, and with the reason when they cannot be read or written; then nothing has changed.
 */
export async function moveJobs(parts: MovingParts): Promise<void> {
  const { directory, limits, log, tell } = parts
  const { shards } = directory.limits
  tell(`moving jobs from ${shards} to ${limits.shards} shards`)
  const move = new Move(limits)
  const known: KnownUpstreams[] = []
  for (let shard = 0; shard < shards; shard++) {
    const old = await loadOld(parts, shard)
    known.push(old.known)
    const noRoom = move.take(old.views, old.known.keys())
    if (noRoom !== undefined) {
      fail('data_refused', `the jobs in ${directory.folder} do not fit: shard ${noRoom.shard} of ` +
        `${limits.shards} would have ${noRoom.have} ${noRoom.what}, which are full after ` +
        `${noRoom.jobs} jobs; give more --memory, or start as before`)
    }
    tell(`moving jobs: ${shard + 1} of ${shards} shards read, ` +
      `${move.jobs.toLocaleString('en-US')} jobs`)
  }
  move.finish()
  const { agreed, disputed } = mergeUpstreams(known)
  if (disputed.size > 0) {
    fail('data_refused', `the journals in ${directory.folder} disagree on ${disputed.size} ` +
      'upstreams; start once as before, and then with other sizes')
  }
  await writeAll(parts, move, agreed)
  directory.change(directory.nextImage, limits)
  log.info({ jobs: move.jobs, shards: limits.shards }, 'all jobs are moved')
}

async function loadOld(parts: MovingParts, shard: number): Promise<OldShard> {
  const { boot, directory, log, nowUs } = parts
  const folder = directory.shardFolder(shard)
  const views = attachShard(allocateShard(directory.limits), directory.limits)
  // A folder that was never complete may lack a shard, which then has no jobs.
  if (!directory.isWhole && !existsSync(folder)) return { views, known: new Map() }
  const opened = JournalStore.open(
    path.join(folder, STORE_FOLDER), shardBytes(directory.limits), !directory.isWhole)
  if (!opened.ok) return cannot(directory, opened.problem)
  const { store } = opened
  try {
    const { state = { boot: '', tail: 0, sequence: 0, accepted: 0 } } = store
    if (typeof state === 'string') return cannot(directory, `${folder}: ${state}`)
    const taken = new Tails(folder, store).takeAll(
      state, boot === '' || state.boot !== boot, () => {})
    if (!taken.ok) return cannot(directory, taken.problem)
    if (taken.dropped !== null) reportDropped(log, shard, taken.dropped)
    let known: KnownUpstreams = new Map()
    const loaded = loadShard({
      store, state: taken.state, views, boot, nowUs, progress: () => {},
      known: (upstreams) => { known = upstreams },
    })
    return loaded.ok ? { views, known } : cannot(directory, loaded.problem)
  } finally {
    await store.close()
  }
}

const cannot = ({ folder }: DataDirectory, problem: string): never =>
  fail('data_refused', `the jobs in ${folder} cannot be moved: ${problem}`)

async function writeAll(
  { boot, directory, limits, nowUs }: MovingParts, move: Move, known: KnownUpstreams,
): Promise<void> {
  const shared = attachShared(allocateShared(limits), limits)
  const { shards, upstreamsMax } = limits
  const highest = Math.max(-1, ...known.keys())
  if (highest >= upstreamsMax) {
    fail('data_refused', `the jobs in ${directory.folder} need ${highest + 1} upstreams, and ` +
      `there would be ${upstreamsMax}; give more --memory`)
  }
  new Upstreams({
    shared, shards, slotsMax: upstreamsMax, settingsOf: () => NO_SETTINGS,
    release: () => false, isUnused: () => false,
  }).adopt(known, nowUs)
  for (const [shard, moved] of move.shards.entries()) {
    const folder = path.join(directory.shardFolder(shard, directory.nextImage), STORE_FOLDER)
    const opened = JournalStore.open(folder, shardBytes(limits), true)
    if (!opened.ok) return cannot(directory, opened.problem)
    try {
      writeImage({
        store: opened.store, moved, shared, upstreams: known.keys(), boot, nowUs,
      })
    } catch (error) {
      cannot(directory, (error as Error).message)
    } finally {
      await opened.store.close()
    }
  }
}

/** Placeholders, which the journal's values replace. */
const NO_SETTINGS = {
  pacePerSecond: 1 as PerSecond, concurrentMax: 1, accountQueues: false, timeoutMs: 1,
}
