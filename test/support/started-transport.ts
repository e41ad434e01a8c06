// A transport over real sockets, with somebody who listens to it, for the time of one test.

import type { TestContext } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import {
  UndiciTransport, type UndiciTransportOptions,
} from '../../shards/transport/undici-transport.ts'
import { TransportRecorder } from './transport-recorder.ts'

/** A transport, and who sends over it and listens to it. */
export interface StartedTransport {
  readonly transport: UndiciTransport
  readonly heard: TransportRecorder
}

/** A started transport that the end of the test closes. */
export function startTransport(
  t: TestContext, options: Partial<UndiciTransportOptions> = {},
): StartedTransport {
  const transport = new UndiciTransport({
    clock: new SystemClock(), connectionsMax: 1000,
    connectionsPerOriginMax: 16, responseBytesMax: 64 * 1024, extraCaPem: '',
    connectTimeoutMs: 60_000, ...options,
  })
  const heard = new TransportRecorder(transport)
  t.after(() => transport.close())
  return { transport, heard }
}
