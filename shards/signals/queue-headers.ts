// The headers that Sluice adds to each request it sends: the job's id, and the queue's length for
// the upstream's autoscaler.
// Thread: shard. Memory: the text of the last rate, since successive sends mostly have the same.
// Never: changes a header of the caller. None of those has one of these names: the front door
// drops them (src/job/job-headers.ts). The names, except X-Sluice-…, are those of earlier systems.

/** The values of the load headers. */
export interface Load {
  readonly jobId: string
  /** 1 for the first. */
  readonly attempt: number
  /** Jobs held for the upstream, waiting or in flight. */
  readonly totalJobs: number
  /** Jobs waiting: in the job's lane if that is an account queue, otherwise for the upstream. */
  readonly queueDepth: number
  /** Requests per second. */
  readonly flowRate: number
  readonly concurrentMax: number
  readonly accountQueue: boolean
}

/** The header names, in the order in which they are added. */
export const loadHeaderNames = (): readonly string[] => {
  const headers: string[] = []
  addLoadHeaders(headers, {
    jobId: '', attempt: 1, totalJobs: 0, queueDepth: 0, flowRate: 1, concurrentMax: 1,
    accountQueue: false,
  })
  return headers.filter((_text, at) => at % 2 === 0)
}

let rateBefore = NaN
let rateTextBefore = ''

function rateText(rate: number): string {
  if (rate !== rateBefore) {
    rateBefore = rate
    rateTextBefore = rate.toFixed(2)
  }
  return rateTextBefore
}

/** Appends name, value, name, value … to the caller's headers. */
export function addLoadHeaders(headers: string[], load: Load): void {
  const total = String(load.totalJobs)
  const depth = String(load.queueDepth)
  const rate = rateText(load.flowRate)
  headers.push(
    'X-Sluice-Job-Id', load.jobId,
    'X-Sluice-Attempt', String(load.attempt),
    'X-Aqueduct-Total-Jobs', total,
    'X-Aqueduct-Queue-Depth', depth,
    'X-Aqueduct-Flow-Rate', rate,
    'X-EZTHROTTLE-CURRENT-TOTAL-JOBS', total,
    'X-EZTHROTTLE-CURRENT-QUEUE-DEPTH', depth,
    'X-EZTHROTTLE-CURRENT-FLOW-RATE', rate,
    'X-EZTHROTTLE-CURRENT-MAX-CONCURRENT', String(load.concurrentMax),
    'X-EZTHROTTLE-CURRENT-ACCOUNT-QUEUE-ENABLED', String(load.accountQueue),
    'X-EZTHROTTLE-CURRENT-QUEUE-MODE', load.accountQueue ? 'account' : 'shared',
  )
}
