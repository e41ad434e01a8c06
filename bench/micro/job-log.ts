// The job log with as many jobs as it admits: one is freed, one is added, and the cleaner keeps up.

import { Prng } from '../../shards/base/prng.ts'
import { KIB, type Location, NONE, powerOfTwoAtLeast } from '../../shards/base/units.ts'
import { allocateShard, attachShard } from '../../shards/memory/layout.ts'
import { CLEAN_BYTES_PER_TURN_MAX } from '../../shards/memory/limits.ts'
import { JobLog, LOG_JOB_SHARED, type LogOwners } from '../../shards/store/job-log.ts'
import { type MicroBench, microLimits } from './micro-case.ts'

const PAYLOAD_BYTES = 240
const RECORD_BYTES = 256
const SEGMENTS = 64
/** Space relative to the items' bytes, so that there is something to clean and room to do it. */
const ROOM = 1.4
/** Appends between two runs of the cleaner. */
const CLEAN_EVERY = 256

export const jobLog: MicroBench = ({ operations, items }) => {
  const segmentBytes = powerOfTwoAtLeast(
    Math.max(8 * KIB, (items * RECORD_BYTES * ROOM) / SEGMENTS))
  const limits = microLimits({ segmentBytes, segmentsMax: SEGMENTS })
  const log = new JobLog(attachShard(allocateShard(limits), limits), { recover: false })
  const places = new Uint32Array(items).fill(NONE)
  const owners: LogOwners = {
    isLive: (_kind, owner, at) => places[owner] === at,
    moved: (_kind, owner, to) => { places[owner] = to },
  }
  const payload = Buffer.alloc(PAYLOAD_BYTES, 1)
  const prng = new Prng(1)
  const replace = (item: number): number => {
    if (places[item] !== NONE) log.free(places[item] as Location)
    places[item] = NONE
    log.makeRoom(PAYLOAD_BYTES, owners)
    const at = log.append(LOG_JOB_SHARED, item, 0, payload, 0, PAYLOAD_BYTES, false)
    places[item] = at
    return log.lengthOf(at as Location)
  }
  for (let item = 0; item < items; item++) replace(item)
  return [{
    name: 'log: free, append and clean', operations,
    run: () => {
      let sum = 0
      for (let index = 0; index < operations; index++) {
        sum += replace(prng.below(items))
        if (index % CLEAN_EVERY === 0 && log.needsCleaning()) {
          log.clean(CLEAN_BYTES_PER_TURN_MAX, owners)
        }
      }
      return sum
    },
  }]
}
