// The receiver of webhooks: counts them, and those of failed jobs.

import { monotonicUs } from '../../../shards/base/clock.ts'
import type { HttpResponse } from '../../../src/http/uws.ts'
import { CountTimeline } from '../timeline.ts'
import type { ReceiverCommands } from './messages.ts'
import { listenNative } from './native-server.ts'
import { cpuTime, serveRole } from './role-loop.ts'

const LOOK_EVERY_MS = 10
const PROGRESS_EVERY_LOOKS = 20
const FAILED = '"status":"failed"'
/** A webhook has its job's status right after the job's id. */
const STATUS_WITHIN_BYTES = 128

let timeline = new CountTimeline(1)
let failed = 0

serveRole<ReceiverCommands>({
  listen: async (place) => {
    const answer = (response: HttpResponse): void => { response.end() }
    return {
      port: await listenNative(place, () => {
        timeline.add(monotonicUs)
        return answer
      }, (part) => {
        const length = Math.min(STATUS_WITHIN_BYTES, part.byteLength)
        if (Buffer.from(part, 0, length).includes(FAILED)) failed += 1
      }),
    }
  },
  reset: ({ expected }) => {
    timeline = new CountTimeline(expected)
    failed = 0
    return cpuTime()
  },
  wait: async ({ count, quietMs }, progress) => {
    let quietLooks = 0
    let looks = 0
    let before = timeline.count
    while (timeline.count < count && quietLooks * LOOK_EVERY_MS < quietMs) {
      await new Promise((resolve) => { setTimeout(resolve, LOOK_EVERY_MS) })
      quietLooks = timeline.count === before ? quietLooks + 1 : 0
      before = timeline.count
      looks += 1
      if (looks % PROGRESS_EVERY_LOOKS === 0) progress({ count: before })
    }
    return { count: timeline.count, failed, points: timeline.points(), ...cpuTime() }
  },
})
