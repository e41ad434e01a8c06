// Reads a job's event stream with a parser that is not the project's own, and records the events
// with their times.

import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { type IncomingMessage, get } from 'node:http'
import { createParser } from 'eventsource-parser'
import { monotonicUs } from '../../shards/base/clock.ts'
import type { Micros } from '../../shards/base/units.ts'

/** One event, decoded. */
export interface JobEvent {
  readonly name: string
  /** Undefined when it has none. */
  readonly id: string | undefined
  readonly data: Readonly<Record<string, unknown>>
  readonly atUs: Micros
}

/** One client of GET /jobs/:id/stream. */
export class EventStream {
  readonly events: JobEvent[] = []
  readonly comments: string[] = []
  readonly response: IncomingMessage
  /** Whether the server has ended or cut the stream. */
  closed = false
  readonly #changed = new EventEmitter().setMaxListeners(0)

  private constructor(response: IncomingMessage) {
    this.response = response
    const parser = createParser({
      onEvent: ({ event, id, data }) => {
        const name = event ?? 'message'
        const value = JSON.parse(data) as JobEvent['data']
        this.events.push({ name, id, data: value, atUs: monotonicUs() })
        this.#changed.emit('changed')
      },
      onComment: (comment) => {
        this.comments.push(comment)
        this.#changed.emit('changed')
      },
      onError: (error) => assert.fail(error),
    })
    response.setEncoding('utf8')
    response.on('data', (text: string) => parser.feed(text))
    response.on('error', () => { /* a cut stream: `closed` tells */ })
    response.on('close', () => {
      this.closed = true
      this.#changed.emit('changed')
    })
  }

  /**
   * Joins a job's stream; asserts that the server starts one.
   * @param lastEventId id of the last event that the client has already received, if any.
   */
  static async join(
    origin: string, jobId: string, lastEventId?: string,
    others: Readonly<Record<string, string>> = {},
  ): Promise<EventStream> {
    const headers = {
      ...others, ...(lastEventId !== undefined && { 'Last-Event-ID': lastEventId }),
    }
    const request = get(`${origin}/jobs/${jobId}/stream`, { agent: false, headers })
    const [response] = await once(request, 'response') as [IncomingMessage]
    assert.equal(response.statusCode, 200)
    assert.equal(response.headers['content-type'], 'text/event-stream')
    return new EventStream(response)
  }

  /** The names of the events so far, in order. */
  get names(): string[] {
    return this.events.map((event) => event.name)
  }

  /** Resolves when the condition holds; fails when the stream ends without it. */
  async until(holds: (stream: this) => boolean): Promise<void> {
    while (!holds(this)) {
      assert.ok(!this.closed, `the stream ended after ${this.names.join(', ')}`)
      await once(this.#changed, 'changed')
    }
  }

  /** Resolves with the first event of that name. */
  async waitFor(name: string): Promise<JobEvent> {
    const find = (): JobEvent | undefined => this.events.find((event) => event.name === name)
    await this.until(() => find() !== undefined)
    return find() as JobEvent
  }

  /** Resolves when the server has ended the stream. */
  async ended(): Promise<void> {
    while (!this.closed) await once(this.#changed, 'changed')
  }

  /** Disconnects. */
  leave(): void {
    this.response.destroy()
  }
}
