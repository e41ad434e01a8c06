// A transport over real sockets, with somebody who listens to it, for the time of one test.

import type { TestContext } from 'node:test'
import { type UndiciTransportOptions, UndiciTransport } from '../../shards/undici-transport.ts'
import { TransportRecorder } from './transport-recorder.ts'

/** A started transport that the end of the test closes. */
export function startTransport(t: TestContext, options: Partial<UndiciTransportOptions> = {}): {
  transport: UndiciTransport
  heard: TransportRecorder
} {
  const transport = new UndiciTransport({
    connectionsPerOriginMax: 16, responseBytesMax: 64 * 1024, extraCaPem: '', ...options,
  })
  const heard = new TransportRecorder()
  transport.start(heard)
  t.after(() => transport.close())
  return { transport, heard }
}
