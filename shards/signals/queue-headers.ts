// The headers that Sluice adds to each request it sends: which job this is, and how long the
// line behind it is, for the upstream's autoscaler.
// Thread: shard. Memory: the text of the last rate, as a line asks for the same one each time.
// Never: changes one of the caller's own headers, among which none has a name of these: the front
// door has dropped it (src/job/job-headers.ts). Names as the systems before this one sent them.

/** What the load headers tell. */
export interface Load {
  readonly jobId: string
  /** 1 for the first. */
  readonly attempt: number
  /** Jobs held for the upstream, waiting or in flight. */
  readonly totalJobs: number
  /** Jobs waiting in the line that this one came from. */
  readonly queueDepth: number
  /** Requests per second. */
  readonly flowRate: number
  readonly concurrentMax: number
  readonly accountQueue: boolean
}

/** Their names, in the order in which they are added. */
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
