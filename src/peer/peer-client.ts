// Submits jobs to the peer during a take-over: those that had begun to arrive at this process, in
// slow bodies and batches. The peer's answers are passed to the askers.

import type { IncomingMessage } from 'node:http'
import { ACCOUNT_QUEUE_HEADERS } from '../../shards/signals/pace-headers.ts'
import type { JobResult, JobStatus } from '../../shards/wire/contract.ts'
import { PEER_HEADER, peerHeader } from '../access/peer-proof.ts'
import { type ErrorCode, unavailable } from '../base/errors.ts'
import { parseJobId } from '../base/job-id.ts'
import { PROXY_TRIES_MAX } from '../base/limits.ts'
import type { Listener } from '../config/listeners.ts'
import { JSON_TYPE, MSGPACK_TYPE } from '../http/exchange.ts'
import type { Asker, Ref } from '../job/asker.ts'
import type { PeerJobs, Submission } from '../submit/submission.ts'
import { type Address, type Again, begin, localAddress } from './peer-request.ts'

/** A job that is being submitted to the peer. */
interface ProxiedJob {
  readonly asker: Asker
  readonly ref: Ref
  readonly body: Buffer
  readonly headers: ReadonlyMap<string, string>
  readonly here: () => void
}

/** The body of an answer to POST /jobs. */
interface JobAnswer {
  readonly job_id?: string
  readonly status?: JobStatus
  readonly result?: JobResult
  readonly error?: string
  readonly code?: ErrorCode
}

/** Submits jobs to the peer, those of each asker one after another. */
export class PeerClient implements PeerJobs {
  readonly #address: Address
  readonly #again: Again
  readonly #proof: string
  readonly #last = new WeakMap<Asker, Promise<void>>()
  #isBack = false

  /** @param proof see peer-proof.ts. */
  constructor(listeners: readonly Listener[], again: Again, proof: string) {
    this.#proof = proof
    this.#address = localAddress(listeners, 'callers')
    this.#again = again
  }

  submit(asker: Asker, ref: Ref, body: Buffer, submission: Submission, here: () => void): void {
    const job = { asker, ref, body, headers: this.#headersOf(asker, submission), here }
    const before = this.#last.get(asker) ?? Promise.resolve()
    this.#last.set(asker, before.then(() => this.#submit(job)))
  }

  /** The peer is gone, and this process continues. */
  giveBack(): void {
    this.#isBack = true
  }

  #headersOf(
    { principal }: Asker, { format, idempotencyKey, wantsAccountQueue }: Submission,
  ): ReadonlyMap<string, string> {
    const headers = new Map([
      ['content-type', format === 'json' ? JSON_TYPE : MSGPACK_TYPE],
      [PEER_HEADER, peerHeader(this.#proof, principal)],
    ])
    if (idempotencyKey !== '') headers.set('idempotency-key', idempotencyKey)
    if (wantsAccountQueue) headers.set(ACCOUNT_QUEUE_HEADERS[0] ?? '', 'enabled')
    return headers
  }

  async #submit(job: ProxiedJob): Promise<void> {
    for (let tries = 0; tries < PROXY_TRIES_MAX; tries++) {
      if (this.#isBack) return job.here()
      const answer = await this.#ask(job)
      if (answer !== undefined) return tell(job, answer)
      await new Promise<void>((resolve) => { this.#again.later(resolve) })
    }
    job.asker.denied(job.ref, unavailable('answer_unknown'))
  }

  #ask({ body, headers }: ProxiedJob): Promise<Answered | undefined> {
    return new Promise((resolve) => {
      begin(this.#address, { method: 'POST', target: '/jobs', headers }, {
        answered: (answer) => {
          const parts: Buffer[] = []
          answer.on('data', (chunk: Buffer) => { parts.push(chunk) })
          answer.on('error', () => resolve(undefined))
          answer.on('end', () => resolve(readAnswer(answer, Buffer.concat(parts).toString())))
        },
        failed: () => resolve(undefined),
      }).end(body)
    })
  }
}

interface Answered {
  readonly status: number
  readonly retryAfterSeconds: number
  readonly value: JobAnswer
}

function readAnswer({ headers, statusCode }: IncomingMessage, text: string): Answered | undefined {
  try {
    return {
      status: statusCode ?? 0, retryAfterSeconds: Number(headers['retry-after'] ?? NaN),
      value: JSON.parse(text) as JobAnswer,
    }
  } catch {
    return undefined
  }
}

function tell({ asker, ref }: ProxiedJob, { retryAfterSeconds, status, value }: Answered): void {
  const { code, error, job_id: jobId, result, status: state, ...more } = value
  const id = parseJobId(jobId ?? '')
  if (id === undefined || (status !== 201 && status !== 200)) {
    return asker.denied(ref, {
      code: code ?? 'overloaded', error: error ?? 'the job was not taken',
      more: jobId === undefined ? more : { job_id: jobId, ...more },
      ...(Number.isNaN(retryAfterSeconds) ? {} : { retryAfterSeconds }),
    })
  }
  const ticket = { ref, shard: 0, isWatched: false, ...id }
  if (status === 201) asker.accepted(ticket)
  else asker.duplicate(ticket, jobId ?? '', state ?? 'queued', result ?? null)
}
