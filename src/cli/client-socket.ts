// The client's end of a socket to a server: JSON messages both ways, over Node's own WebSocket.

import { PROTOCOL } from '../ws/protocol.ts'

/** A message of the server. */
export type ServerMessage = Readonly<Record<string, unknown>> & { readonly type: string }

/** Who hears what the server says. */
export interface Listener {
  onMessage(message: ServerMessage): void
  /** The connection is no more; not called after close(). */
  onClose(reason: string): void
}

/** An open socket, greeted by the server. */
export class ClientSocket {
  /** Jobs that may be without an answer. */
  readonly window: number
  readonly jobsPerMessage: number
  readonly #socket: WebSocket
  readonly #listener: Listener
  #isClosed = false

  private constructor(socket: WebSocket, hello: ServerMessage, listener: Listener) {
    const limits = hello['limits'] as Readonly<Record<string, number>> | undefined
    this.window = Number(hello['window'])
    this.jobsPerMessage = limits?.['jobs_per_message'] ?? 1
    this.#socket = socket
    this.#listener = listener
    socket.addEventListener('message', ({ data }) => {
      if (typeof data === 'string') listener.onMessage(JSON.parse(data) as ServerMessage)
    })
  }

  /** Connects; the reason when that cannot be done. @param server its HTTP address. */
  static open(server: URL, listener: Listener): Promise<ClientSocket | string> {
    const { promise, resolve } = Promise.withResolvers<ClientSocket | string>()
    const address = new URL('/ws', server)
    address.protocol = server.protocol === 'https:' ? 'wss:' : 'ws:'
    const socket = new WebSocket(address, [PROTOCOL])
    let opened: ClientSocket | undefined
    socket.addEventListener('message', ({ data }) => {
      const hello = JSON.parse(String(data)) as ServerMessage
      opened = new ClientSocket(socket, hello, listener)
      resolve(opened)
    }, { once: true })
    // What went wrong is not told to a WebSocket's owner; the close event follows.
    socket.addEventListener('error', () => resolve(`cannot connect to ${server.origin}`))
    socket.addEventListener('close', ({ reason }) => {
      resolve(`cannot connect to ${server.origin}`)
      if (opened !== undefined) opened.#closed(reason)
    })
    return promise
  }

  send(message: object): void {
    this.#socket.send(JSON.stringify(message))
  }

  close(): void {
    this.#isClosed = true
    this.#socket.close(1000)
  }

  #closed(reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#listener.onClose(reason === '' ? 'the connection broke' : reason)
  }
}
