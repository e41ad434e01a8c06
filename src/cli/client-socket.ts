// A client's WebSocket to a server: JSON messages both ways, over Node's own WebSocket.

import { PROTOCOL } from '../ws/protocol.ts'
import { askUpgrade } from './ask-upgrade.ts'
import type { ServerAddress } from './server-address.ts'

/** A message of the server. */
export type ServerMessage = Readonly<Record<string, unknown>> & { readonly type: string }

/** Why there is no connection. */
export interface Failure {
  readonly reason: string
  /** Another attempt with the same key would fail too. */
  readonly isFinal: boolean
}

/** Why a connection ended. */
export interface Ending extends Failure {
  /** The server closed it in an orderly way, so the sent messages did not cause it. */
  readonly isGoodbye: boolean
}

/** Receives the server's messages. */
export interface Listener {
  onMessage(message: ServerMessage): void
  /** The connection has ended; not called after close(). */
  onClose(ending: Ending): void
}

/** An open connection, as its users see it. */
export interface Link {
  /** Limit of unanswered jobs. */
  readonly window: number
  /** Largest item that fits into a frame, in bytes. */
  readonly itemBytesMax: number
  /** Sends the items, each a JSON value, in as few messages as the server's limits allow. */
  sendList(type: ListType, items: readonly string[]): void
  close(): void
}

/** Messages that carry a list, and the field of the list. */
const LISTS = { enqueue: 'jobs', watch: 'job_ids' } as const
export type ListType = keyof typeof LISTS

/** WebSocket close codes: normal, going away, restart, try again later. */
const GOODBYES: ReadonlySet<number> = new Set([1000, 1001, 1012, 1013])
/** Policy violation: the key was revoked, or has expired. */
const CLOSE_POLICY = 1008
/** Statuses of an upgrade that is refused because of who asks, and how. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([401, 403, 421])
const FRAME_BYTES_DEFAULT = 16 * 1024
/** Upper limit of the bytes around a message's list. */
const AROUND_BYTES = 64

/**
 * Packs all items into as few messages as possible.
 * @param itemsMax per message. @param bytesMax per message.
 */
export function framesOf(
  type: ListType, items: readonly string[], itemsMax: number, bytesMax: number,
): string[] {
  const frames: string[] = []
  let part: string[] = []
  let bytes = AROUND_BYTES
  const end = (): void => {
    if (part.length > 0) frames.push(`{"type":"${type}","${LISTS[type]}":[${part.join(',')}]}`)
    part = []
    bytes = AROUND_BYTES
  }
  for (const item of items) {
    const itemBytes = Buffer.byteLength(item) + 1
    if (part.length === itemsMax || bytes + itemBytes > bytesMax) end()
    part.push(item)
    bytes += itemBytes
  }
  end()
  return frames
}

/** An open socket whose hello has been received. */
export class ClientSocket implements Link {
  readonly window: number
  readonly #itemsMax: number
  readonly #frameBytesMax: number
  readonly #socket: WebSocket
  readonly #listener: Listener
  #isClosed = false

  private constructor(socket: WebSocket, hello: ServerMessage, listener: Listener) {
    const limits = hello['limits'] as Readonly<Record<string, number>> | undefined
    this.window = Number(hello['window'])
    this.#itemsMax = limits?.['jobs_per_message'] ?? 1
    this.#frameBytesMax = limits?.['frame_bytes'] ?? FRAME_BYTES_DEFAULT
    this.#socket = socket
    this.#listener = listener
    socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') listener.onMessage(JSON.parse(data) as ServerMessage)
    })
  }

  /** Connects; resolves with the reason if that fails. */
  static open(server: ServerAddress, listener: Listener): Promise<ClientSocket | Failure> {
    const { promise, resolve } = Promise.withResolvers<ClientSocket | Failure>()
    const address = server.at('ws')
    address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:'
    const socket = new WebSocket(address, { protocols: [PROTOCOL], headers: server.headers })
    let opened: ClientSocket | undefined
    socket.addEventListener('message', ({ data }) => {
      const hello = JSON.parse(String(data)) as ServerMessage
      opened = new ClientSocket(socket, hello, listener)
      resolve(opened)
    }, { once: true })
    // WebSocket reports no reason for a failure, and does not always send the close event.
    const failed = (): void => {
      if (opened === undefined) resolve(whyNot(server))
    }
    socket.addEventListener('error', failed, { once: true })
    socket.addEventListener('close', ({ code, reason }) => {
      failed()
      if (opened !== undefined) opened.#closed(code, reason)
    })
    return promise
  }

  get itemBytesMax(): number {
    return this.#frameBytesMax - AROUND_BYTES - 1
  }

  sendList(type: ListType, items: readonly string[]): void {
    for (const frame of framesOf(type, items, this.#itemsMax, this.#frameBytesMax)) {
      this.#socket.send(frame)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#socket.close(1000)
  }

  #closed(code: number, reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#listener.onClose({
      reason: reason === '' ? 'the connection broke' : reason, isGoodbye: GOODBYES.has(code),
      isFinal: code === CLOSE_POLICY,
    })
  }
}

/** Why no socket can be opened: asks once more, since WebSocket does not show the answer. */
async function whyNot(server: ServerAddress): Promise<Failure> {
  const cannot = `cannot connect to ${server.shown}`
  const answer = await askUpgrade(server)
  if (answer === undefined) return { reason: cannot, isFinal: false }
  const { code, error, limit_reason: limit, status } = answer
  const isFinal = FINAL_STATUSES.has(status)
  if (typeof error === 'string') {
    return { reason: `${cannot}: ${error} (${String(limit ?? code ?? status)})`, isFinal }
  }
  const why = isFinal ? 'it refuses the key'
    : 'it is no Sluice, or a proxy before it passes no WebSockets on'
  return { reason: `${cannot}: ${why} (${status})`, isFinal }
}
