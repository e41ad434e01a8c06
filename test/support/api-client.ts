// The API as a caller sees it: requests with undici, answers decoded, and the job fields that most
// tests have in common.

import assert from 'node:assert/strict'
import { type Dispatcher, Pool } from 'undici'

/** Every field that an answer of the API may have, by name. */
export interface AnswerBody {
  readonly job_id?: string
  readonly status?: string
  readonly duplicate?: boolean
  readonly url?: string
  readonly method?: string
  readonly created_at?: number
  readonly attempts?: number
  readonly position?: number
  readonly retry_at?: number
  readonly result?: ResultBody
  readonly webhook?: {
    readonly state: string
    readonly attempts: number
    readonly last_status?: number
  }
  readonly error?: string
  readonly code?: string
  readonly field?: string
  readonly limit_reason?: string
  readonly limit?: number
  readonly current?: number
}

/** A result, as polls, streams and webhooks show it. */
export interface ResultBody {
  readonly status?: string
  readonly response_status?: number
  readonly reason?: string
  readonly rule?: string
  readonly body?: string
  readonly body_base64?: string
  readonly truncated?: boolean
}

/** A webhook's body. */
export interface WebhookBody extends ResultBody {
  readonly job_id?: string
}

/** The part of GET /health that tests read. */
export interface HealthBody {
  readonly status: string
  readonly version: string
  readonly uptime_s: number
  readonly reloads: number
  readonly last_reload: {
    readonly at: number
    readonly ok: boolean
    readonly reason?: string
  } | null
  readonly shards: readonly {
    readonly shard: number
    readonly up: boolean
    readonly trouble: string | null
    readonly journal: { readonly trouble: string | null }
    readonly queued: number
    readonly in_flight: number
    readonly webhooks_waiting: number
    readonly webhooks_in_flight: number
    readonly finished: number
    readonly completed: number
    readonly failed: number
    readonly attempts: number
    readonly retries: number
    readonly restarts: number
  }[]
  readonly queues: { readonly active: number, readonly backlog: number }
  readonly admission: {
    readonly accepted: number
    readonly duplicates: number
    readonly reused_keys: number
    readonly refused: Readonly<Record<string, number>>
    readonly pending: number
    readonly streams: number
    readonly upstreams: number
    readonly memory_bytes: number
    readonly jobs_max: number
  }
  readonly process: {
    readonly heap_used_bytes: number
    readonly rss_bytes: number
  }
}

/** One answer, read to its end. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly bytes: Buffer
  /** Decoded where it is JSON, else empty. */
  readonly body: AnswerBody
}

/** The fields of POST /jobs; tests of bad values pass what they like. */
export type JobFields = Readonly<Record<string, unknown>>

let keysDrawn = 0

/** A valid GET job for polling, with a key of its own; `fields` are added or replace. */
export function jobOf(url: string, fields: JobFields = {}): JobFields {
  keysDrawn += 1
  return {
    user_id: 'user-1', idempotent_key: `key-${keysDrawn}`, url, method: 'GET', delivery: 'poll',
    ...fields,
  }
}

type Headers = Readonly<Record<string, string>>

/** A caller of one server. */
export class ApiClient {
  readonly origin: string
  readonly #pool: Pool

  constructor(origin: string, connections = 64) {
    this.origin = origin
    this.#pool = new Pool(origin, {
      connections, headersTimeout: 60_000, bodyTimeout: 60_000, keepAliveTimeout: 5000,
    })
  }

  /** Any request; the answer is read whole. */
  async send(
    method: string, path: string, options: { headers?: Headers, body?: string | Buffer } = {},
  ): Promise<Answer> {
    const response = await this.#pool.request({
      method: method as Dispatcher.HttpMethod, path,
      headers: { ...options.headers },
      ...(options.body === undefined ? {} : { body: options.body }),
    })
    const bytes = Buffer.from(await response.body.arrayBuffer())
    const isJson = response.headers['content-type'] === 'application/json' && bytes.length > 0
    return {
      status: response.statusCode, headers: response.headers, bytes,
      body: isJson ? JSON.parse(bytes.toString()) as AnswerBody : {},
    }
  }

  /** POST /jobs with any JSON value. */
  post(job: unknown, headers: Headers = {}): Promise<Answer> {
    return this.send('POST', '/jobs', {
      headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(job),
    })
  }

  /** POST /jobs that must be answered 201; the job's id. */
  async accept(job: JobFields, headers: Headers = {}): Promise<string> {
    const answer = await this.post(job, headers)
    assert.equal(answer.status, 201, answer.bytes.toString())
    return String(answer.body.job_id)
  }

  /** GET /jobs/:id. */
  show(jobId: string): Promise<Answer> {
    return this.send('GET', `/jobs/${jobId}`)
  }

  /** DELETE /jobs/:id. */
  cancel(jobId: string): Promise<Answer> {
    return this.send('DELETE', `/jobs/${jobId}`)
  }

  /** GET /health, decoded. */
  async health(): Promise<HealthBody> {
    const answer = await this.send('GET', '/health')
    assert.equal(answer.status, 200)
    return JSON.parse(answer.bytes.toString()) as HealthBody
  }

  /** Waits until the job is finished, by its event stream; returns what GET then shows. */
  async finished(jobId: string): Promise<AnswerBody> {
    await this.send('GET', `/jobs/${jobId}/stream`)
    const { body } = await this.show(jobId)
    assert.ok(body.result, `job ${jobId} has a result: ${JSON.stringify(body)}`)
    return body
  }

  /** Submits a job and waits for its result. */
  async run(job: JobFields, headers: Headers = {}): Promise<AnswerBody> {
    return this.finished(await this.accept(job, headers))
  }

  /** Closes the connections immediately. */
  close(): Promise<void> {
    return this.#pool.destroy()
  }
}
