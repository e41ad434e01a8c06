// The jobs of a torture run: what each is to go through, drawn from a seed, and how it is written
// into a request. What became of it is noted in the same object.

import type { Prng } from '../../shards/base/prng.ts'
import type { Micros } from '../../shards/base/units.ts'

/**
 * The upstreams. `fast` takes all that it can get; `steady` and `glacier` ask for a pace, `glacier`
 * for the lowest there is, one at once, so that jobs always wait; `apart` asks for a pace for each
 * account.
 */
export const TARGETS = ['fast', 'steady', 'glacier', 'apart'] as const
export type Target = (typeof TARGETS)[number]

/** The paces that the upstreams ask for until the run is to end. */
export const PACES: Readonly<Record<Target, number>> =
  { fast: 5000, steady: 40, glacier: 0.5, apart: 5 }

/** Requests at once that the upstreams ask for. */
export const CONCURRENT: Readonly<Record<Target, number>> =
  { fast: 64, steady: 64, glacier: 1, apart: 64 }

/** Whether each request has to be answered before the next may come. */
export const isSerial = (target: Target): boolean => CONCURRENT[target] === 1

/** One request that came to an upstream. */
export interface Execution {
  readonly jobId: string
  readonly attempt: number
  readonly beginUs: Micros
  /** When the answer was handed to the system; NaN if the connection ended before. */
  endUs: number
  readonly status: number
}

/** A job, and what was noted of it. */
export interface Job {
  readonly number: number
  readonly account: number
  readonly target: Target
  /** How often the upstream answers 503 before it answers 200; Infinity: always, with no retry. */
  readonly failures: number
  /** How long the upstream takes for an answer. */
  readonly delayMs: number
  readonly bodyBytes: number
  readonly wantsWebhook: boolean
  /** The receiver answers its first delivery with 500. */
  readonly webhookFails: boolean
  readonly isCancelled: boolean
  /** Set with the first answer that names it. */
  jobId: string | undefined
  acceptedUs: number
  /** When DELETE was answered 200; NaN while it was not. */
  cancelledUs: number
  /** A DELETE was sent, and perhaps not answered. */
  cancelTried: boolean
  /** In the order of their arrival. */
  readonly executions: Execution[]
}

export const isDoomed = (job: Job): boolean => job.failures === Infinity

/** Whether an execution is the last that its job needs. */
export const isFinal = (job: Job, execution: Execution): boolean =>
  execution.status === 200 || isDoomed(job)

const BIG_BODY_BYTES_MAX = 48 * 1024
const SMALL_BODY_BYTES_MAX = 300
const DELAY_MS_MAX = 200
/** Only these use `apart`, so that their jobs have to wait for their pace there. */
const ACCOUNTS_APART = 4
/** Only one account of so many uses `glacier`, so that its lines are long. */
const GLACIER_EVERY_ACCOUNTS = 8
/** A job that fails a few times may besides be in flight whenever the server is killed. */
const RETRIES_MAX = 60

/** Draws a job for one of the accounts. */
export function drawJob(prng: Prng, number: number, accounts: readonly number[]): Job {
  const account = prng.pick(accounts)
  const dice = prng.unit()
  const isOfGlacier = account % GLACIER_EVERY_ACCOUNTS === GLACIER_EVERY_ACCOUNTS - 1
  const target: Target = account < ACCOUNTS_APART && dice < 0.4 ? 'apart'
    : isOfGlacier && dice < 0.5 ? 'glacier' : dice < 0.015 ? 'steady' : 'fast'
  const isPlain = target !== 'fast' || prng.chance(0.86)
  return {
    number, account, target,
    failures: isPlain ? 0 : prng.chance(0.25) ? Infinity : prng.between(1, 2),
    delayMs: prng.chance(0.2) ? prng.between(1, DELAY_MS_MAX) : 0,
    bodyBytes: prng.chance(0.02)
      ? prng.below(BIG_BODY_BYTES_MAX) : prng.below(SMALL_BODY_BYTES_MAX),
    wantsWebhook: prng.chance(0.4), webhookFails: prng.chance(0.05),
    isCancelled: target === 'glacier' && prng.chance(0.05),
    ...unnoted(),
  }
}

/** A job that asks an upstream for its pace before the load begins. */
export const primerJob = (number: number, target: Target): Job => ({
  number, account: 0, target, failures: 0, delayMs: 0, bodyBytes: 0, wantsWebhook: false,
  webhookFails: false, isCancelled: false, ...unnoted(),
})

const unnoted = (): Pick<Job, 'jobId' | 'acceptedUs' | 'cancelledUs' | 'cancelTried' |
  'executions'> =>
  ({ jobId: undefined, acceptedUs: NaN, cancelledUs: NaN, cancelTried: false, executions: [] })

/** The body as it must arrive: the number, and a filler that only this job has. */
export const bodyOf = (job: Job): string =>
  `${job.number}:`.padEnd(job.bodyBytes, `${job.number}-`)

/** Where a run's jobs are sent, and told about. */
export interface Addresses {
  readonly runId: string
  readonly origins: Readonly<Record<Target, string>>
  readonly receiver: string
}

/** The JSON of POST /jobs. */
export function postOf(job: Job, { runId, origins, receiver }: Addresses): string {
  return JSON.stringify({
    user_id: `user-${job.account}`, idempotent_key: `${runId}-${job.number}`,
    method: 'POST', url: `${origins[job.target]}/work`, headers: { 'Content-Type': 'text/plain' },
    body: bodyOf(job), max_retries: isDoomed(job) ? 0 : RETRIES_MAX,
    ...(job.wantsWebhook ? { webhook_url: `${receiver}/told` } : { delivery: 'poll' }),
  })
}
