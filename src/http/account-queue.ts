// Whether a request asks for account queues at the upstreams of its jobs.

import { ACCOUNT_QUEUE_HEADERS, readAccountQueue } from '../../shards/signals/pace-headers.ts'
import { asciiOf, type HttpRequest } from './uws.ts'

const NAMES = ACCOUNT_QUEUE_HEADERS.map(asciiOf)

/** The first header that is present decides, as in an upstream's response. */
export function asksAccountQueue(request: HttpRequest): boolean {
  for (const name of NAMES) {
    const value = request.getHeader(name)
    if (value !== '') return readAccountQueue(value) === true
  }
  return false
}
