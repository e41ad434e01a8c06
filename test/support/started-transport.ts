// A transport over real sockets, with a recorder of its events, for one test.

import type { TestContext } from 'node:test'
import { SystemClock } from '../../shards/base/clock.ts'
import {
  UndiciTransport, type UndiciTransportOptions,
} from '../../shards/transport/undici-transport.ts'
import { TransportRecorder } from './transport-recorder.ts'

/** A transport, and the recorder that sends over it. */
export interface StartedTransport {
  readonly transport: UndiciTransport
  readonly heard: TransportRecorder
}

/** Starts a transport that is closed after the test. */
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
