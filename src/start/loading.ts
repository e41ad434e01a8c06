// A start with a journal: the front door opens first, and jobs wait in the rings while the shards
// are loaded. Progress is printed once a second.

import { type Clock, lookEvery } from '../../shards/base/clock.ts'
import { type Micros, US_PER_SECOND } from '../../shards/base/units.ts'
import type { ProcessEnd } from '../base/process-end.ts'
import type { FrontDoor } from '../door/front-door.ts'
import type { EngineMemory } from '../engine/memory.ts'
import type { Journals } from '../journal/journals.ts'

/** What loading needs. */
export interface LoadingParts {
  readonly journals: Journals
  readonly door: FrontDoor
  readonly memory: EngineMemory
  readonly end: Pick<ProcessEnd, 'decided' | 'reason'>
  /** Only read. */
  readonly clock: Clock
  readonly stdout: (text: string) => void
  /** Opens the front door. */
  readonly open: () => Promise<void>
}

const SHOW_EVERY_MS = 1000

/**
 * Loads all shards; resolves with, by shard, whether it had a journal (if not, it starts empty), or
 * with undefined when the process is to end before. Fails when a journal cannot be loaded.
 */
export async function loadShards(parts: LoadingParts): Promise<readonly boolean[] | undefined> {
  const { clock, door, end, journals, memory, open } = parts
  const known = await journals.begin(memory)
  if (known !== undefined) {
    door.adopt(known)
    await open()
  }
  const stopShowing = showProgress(parts, clock.nowUs())
  try {
    const loaded = await Promise.race([journals.loaded(), end.reason.then(() => undefined)])
    if (loaded === undefined || end.decided) return undefined
    if (known === undefined) door.adopt(journals.upstreamsByJobs())
    return loaded
  } finally {
    stopShowing()
  }
}

function showProgress({ clock, journals, stdout }: LoadingParts, fromUs: Micros): () => void {
  return lookEvery(SHOW_EVERY_MS, () => {
    const { jobs, share } = journals.progress
    const seconds = (clock.nowUs() - fromUs) / US_PER_SECOND
    const left = share > 0 ? `, ${Math.ceil(seconds * (1 / share - 1))} s left` : ''
    stdout(`loading ${Math.floor(100 * share)} %: ${jobs.toLocaleString('en-US')} jobs${left}\n`)
  })
}
