// A client that sends raw bytes, for requests that no HTTP library sends: slow, cut off, empty.

import { EventEmitter, once } from 'node:events'
import { type Socket, connect } from 'node:net'

/** One connection; records everything it receives. */
export class RawClient {
  readonly socket: Socket
  /** Whether the server has closed or reset the connection. */
  closed = false
  #received = ''
  readonly #changed = new EventEmitter().setMaxListeners(0)

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('error', () => { /* a reset is as good as an end */ })
    socket.on('data', (text: string) => {
      this.#received += text
      this.#changed.emit('changed')
    })
    socket.on('close', () => {
      this.closed = true
      this.#changed.emit('changed')
    })
  }

  /** Connects to a port of 127.0.0.1. */
  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1' })
    await once(socket, 'connect')
    return new RawClient(socket)
  }

  /** What came so far, as Latin-1. */
  get received(): string {
    return this.#received
  }

  /** The status codes of the answers so far. */
  get statuses(): number[] {
    return [...this.#received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]))
  }

  write(bytes: string | Buffer): void {
    this.socket.write(bytes)
  }

  /** Resolves when `count` answers have begun, or the connection is closed. */
  async waitForAnswers(count: number): Promise<number[]> {
    while (this.statuses.length < count && !this.closed) await once(this.#changed, 'changed')
    return this.statuses
  }

  /** Resolves when the other side has closed. */
  async waitForClose(): Promise<void> {
    while (!this.closed) await once(this.#changed, 'changed')
  }

  /** Closes the connection immediately. */
  destroy(): void {
    this.socket.destroy()
  }
}

/** A POST /jobs as bytes. */
export function postJobText(job: unknown, extraHeaders = ''): string {
  const body = JSON.stringify(job)
  return 'POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n' +
    `${extraHeaders}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
}
