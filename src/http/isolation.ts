// Whether a request asks for account queues at the upstreams of its jobs.

import { ACCOUNT_QUEUE_HEADERS, readAccountQueue } from '../../shards/headers.ts'
import type { HttpRequest } from './uws.ts'

/** The first name that is present decides, as it does in an upstream's response. */
export function asksIsolation(request: HttpRequest): boolean {
  for (const name of ACCOUNT_QUEUE_HEADERS) {
    const value = request.getHeader(name)
    if (value !== '') return readAccountQueue(value) === true
  }
  return false
}
