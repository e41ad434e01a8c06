// A two-way connection to a control socket, from the client's side: JSON lines in both directions,
// in no fixed order.

import { type Socket, connect } from 'node:net'
import { CONTROL_ANSWER_BYTES_MAX } from '../base/limits.ts'
import type { ControlRequest } from './commands.ts'
import { LineCutter } from './line-cutter.ts'
import { withSocketPath } from './socket-path.ts'

/** A received message: {"progress":…}, {"ok":true,…} or {"error":…}. */
export type Heard = Readonly<Record<string, unknown>>

/** An open connection; created by open(). */
export class ControlLine {
  readonly #socket: Socket
  readonly #cutter = new LineCutter(CONTROL_ANSWER_BYTES_MAX)
  #received: Heard[] = []
  #isOver = false
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    socket.on('error', () => { /* 'close' follows */ })
    socket.on('close', () => {
      this.#isOver = true
      this.#wake()
    })
  }

  /** Undefined when no server answers at the file. */
  static open(file: string): Promise<ControlLine | undefined> {
    return new Promise((resolve) => {
      const socket = withSocketPath(file, (path) => connect(path))
      const onError = (): void => resolve(undefined)
      socket.once('error', onError)
      socket.once('connect', () => {
        socket.off('error', onError)
        resolve(new ControlLine(socket))
      })
    })
  }

  /** Sends a message; no-op once the other side has disconnected. */
  say(request: ControlRequest): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(request)}\n`)
  }

  /** The next message; undefined once the other side has disconnected. One call at a time. */
  async next(): Promise<Heard | undefined> {
    while (this.#received.length === 0 && !this.#isOver) {
      await new Promise<void>((resolve) => { this.#wake = resolve })
    }
    return this.#received.shift()
  }

  /** Closes the connection after what has been sent. */
  close(): void {
    this.#socket.end()
  }

  #receive(chunk: Buffer): void {
    const lines = this.#cutter.push(chunk)
    if (lines === undefined) return void this.#socket.destroy()
    for (const line of lines) this.#received.push(JSON.parse(line) as Heard)
    this.#wake()
  }
}
