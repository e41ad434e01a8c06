// Compares a result, as the engine shows it in a webhook, an event, a poll or the answer to a known
// key, with the upstream's last answer.

import type { JobResult } from '../../../shards/wire/contract.ts'
import { RULE } from '../fake-network.ts'
import { promise } from '../violation.ts'
import type { Facts } from './ledger.ts'

const CHECKER = 'results'

/** The bytes of a shown body; undefined when there is none. */
function shownBody(result: JobResult): Buffer | undefined {
  if (result.body !== undefined) return Buffer.from(result.body)
  return result.body_base64 === undefined ? undefined : Buffer.from(result.body_base64, 'base64')
}

/**
 * Status, response status, reason and body are those of the last attempt. A body may be missing if
 * the result says so; a finished job that keeps no record has no reason either.
 */
export function checkResult(result: JobResult, facts: Facts, where: string): void {
  const { outcome, job } = facts
  const label = `${where} of job ${job.number} (${job.id})`
  promise(outcome !== undefined, CHECKER, () => `${label}: ${result.status}, without an outcome`)
  promise(result.status === outcome.status, CHECKER, () =>
    `${label}: ${result.status} instead of ${outcome.status}`)
  promise((result.response_status ?? 0) === outcome.responseStatus, CHECKER, () =>
    `${label}: status ${result.response_status} instead of ${outcome.responseStatus}`)
  const bare = result.truncated === true && result.reason === undefined
  promise(bare || result.reason === outcome.reason, CHECKER, () =>
    `${label}: reason ${result.reason} instead of ${outcome.reason}`)
  const isRefused = result.reason === 'address_refused' && result.truncated !== true
  promise(!isRefused || result.rule === RULE, CHECKER, () => `${label}: rule ${result.rule}`)
  const body = shownBody(result)
  if (body === undefined) {
    const may = outcome.body === undefined || result.truncated === true
    promise(may, CHECKER, () => `${label}: the body is missing`)
    return
  }
  promise(Buffer.compare(body, outcome.body ?? Buffer.of()) === 0, CHECKER, () =>
    `${label}: another body, of ${body.length} bytes`)
  promise((result.truncated ?? false) === outcome.truncated, CHECKER, () =>
    `${label}: truncated is ${result.truncated}`)
}
