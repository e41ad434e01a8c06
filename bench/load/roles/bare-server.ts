// The baseline of `ingest`: the same HTTP server without a queue behind it. It reads the whole body
// and answers with as many bytes as Sluice does for an accepted job.

import type { BareServerCommands } from './messages.ts'
import { listenNative } from './native-server.ts'
import { cpuTime, serveRole } from './role-loop.ts'

/** As long as Sluice's answer, whose job ids have 24 digits. */
const ACCEPTED = `{"job_id":"${'0'.repeat(24)}","status":"queued"}`

let requests = 0
let bodyBytes = 0

serveRole<BareServerCommands>({
  listen: async (place) => ({
    port: await listenNative(place, () => (response) => {
      requests += 1
      response.writeStatus('201 Created')
      response.writeHeader('content-type', 'application/json')
      response.end(ACCEPTED)
    }, (part) => { bodyBytes += part.byteLength }),
  }),
  // The bytes are reported, so that reading them cannot be optimized away.
  stand: () => ({ requests, bodyBytes, ...cpuTime() }),
})
