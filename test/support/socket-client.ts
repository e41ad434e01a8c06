// A WebSocket client for tests that is not Sluice's own (the ws package): tests wait for messages
// one by one, by type.

import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import { pack, unpack } from 'msgpackr'
import { type ClientOptions, WebSocket } from 'ws'

/** A message of the server, decoded. */
export type Message = Readonly<Record<string, unknown>> & { readonly type: string }

/** An entry of `accepted`. */
export interface Entry {
  readonly ref?: number | string
  readonly index?: number
  readonly job_id?: string
  readonly duplicate?: boolean
  readonly status?: string
  readonly result?: Readonly<Record<string, unknown>>
  readonly code?: string
  readonly error?: string
  readonly field?: string
}

/** How a socket was closed. */
export interface Closed {
  readonly code: number
  readonly reason: string
}

/** A frame as JSON text, or as MessagePack. */
export type Format = 'json' | 'msgpack'

export const PROTOCOL = 'sluice.v1'

/** The WebSocket URL of a server. */
export const socketUrl = (origin: string): string => `${origin.replace(/^http/, 'ws')}/ws`

/** One socket. Messages are queued until a test waits for them. */
export class SocketClient {
  readonly ws: WebSocket
  /** Resolves when it is closed. */
  readonly closed: Promise<Closed>
  readonly format: Format
  readonly messages: Message[] = []
  #looks: (() => boolean)[] = []
  #isClosed = false

  constructor(ws: WebSocket, format: Format) {
    this.ws = ws
    this.format = format
    ws.on('message', (data: Buffer, isBinary) => {
      const value: unknown = isBinary ? unpack(data) : JSON.parse(data.toString())
      this.messages.push(value as Message)
      this.#look()
    })
    ws.on('error', () => { /* the close event follows */ })
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        this.#isClosed = true
        resolve({ code, reason: reason.toString() })
        this.#look()
      })
    })
  }

  /** Opens a socket and takes the hello; rejects with the status if it is not 101. */
  static async open(
    origin: string, format: Format = 'json', options: ClientOptions = {},
  ): Promise<SocketClient> {
    const ws = new WebSocket(socketUrl(origin), [PROTOCOL], options)
    const client = new SocketClient(ws, format)
    await new Promise((resolve, reject) => {
      ws.once('open', resolve)
      ws.once('error', reject)
    })
    const hello = await client.take('hello')
    assert.equal(hello['protocol'], PROTOCOL)
    return client
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Sends a message in the client's format. */
  send(message: object): void {
    this.ws.send(this.format === 'json' ? JSON.stringify(message) : pack(message))
  }

  /** Takes the first matching message out of the queue, when it has arrived. */
  take(type: string, fits: (message: Message) => boolean = () => true): Promise<Message> {
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        const at = this.messages.findIndex((message) => message.type === type && fits(message))
        if (at >= 0) {
          resolve(this.messages.splice(at, 1)[0] as Message)
          return true
        }
        if (!this.#isClosed) return false
        reject(new Error(`the socket has closed before a message "${type}"; there came ` +
          JSON.stringify(this.messages).slice(0, 2000)))
        return true
      }
      if (!look()) this.#looks.push(look)
    })
  }

  /** The answers to so many jobs, in order of arrival. */
  async answers(count: number): Promise<Entry[]> {
    const entries: Entry[] = []
    while (entries.length < count) {
      const { jobs } = await this.take('accepted')
      entries.push(...jobs as Entry[])
    }
    assert.equal(entries.length, count, JSON.stringify(entries).slice(0, 2000))
    return entries
  }

  /** Submits jobs and resolves with their answers. */
  enqueue(jobs: readonly object[], more: object = {}): Promise<Entry[]> {
    this.send({ type: 'enqueue', jobs, ...more })
    return this.answers(jobs.length)
  }

  /** Submits one job that must be accepted; returns its id. */
  async accept(job: object): Promise<string> {
    const [entry] = await this.enqueue([job])
    assert.ok(entry?.job_id, JSON.stringify(entry))
    return entry.job_id
  }

  /** Resolves when the server has handled everything that was sent before. */
  async sync(): Promise<void> {
    const ref = `sync-${syncs += 1}`
    this.send({ type: 'ping', ref })
    await this.take('pong', (message) => message['ref'] === ref)
  }

  close(): Promise<Closed> {
    this.ws.close(1000)
    return this.closed
  }

  #look(): void {
    this.#looks = this.#looks.filter((look) => !look())
  }
}

let syncs = 0

/** The answer to a refused upgrade. */
export async function refusedUpgrade(
  origin: string, protocols: readonly string[], options: ClientOptions = {},
): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }> {
  const ws = new WebSocket(socketUrl(origin), [...protocols], options)
  ws.on('error', () => {})
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    ws.on('open', () => reject(new Error('the server has upgraded')))
    ws.on('unexpected-response', (_request, answer) => resolve(answer))
  })
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return {
    status: response.statusCode ?? 0,
    body: JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>,
  }
}
