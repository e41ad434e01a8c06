// A conversation over a control socket, from the side of the one who has begun it: what is said and
// heard are lines of JSON, in no fixed turns.

import { type Socket, connect } from 'node:net'
import { CONTROL_ANSWER_BYTES_MAX } from '../base/limits.ts'
import type { ControlRequest } from './commands.ts'
import { LineCutter } from './line-cutter.ts'
import { withSocketPath } from './socket-path.ts'

/** What has been heard: {"progress":…}, {"ok":true,…} or {"error":…}. */
export type Heard = Readonly<Record<string, unknown>>

/** An open conversation; made by open(). */
export class ControlLine {
  readonly #socket: Socket
  readonly #cutter = new LineCutter(CONTROL_ANSWER_BYTES_MAX)
  #heard: Heard[] = []
  #isOver = false
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#hear(chunk))
    socket.on('error', () => { /* 'close' follows */ })
    socket.on('close', () => {
      this.#isOver = true
      this.#wake()
    })
  }

  /** Undefined when nobody answers at the file. */
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

  /** Nothing is said once the other side has gone. */
  say(request: ControlRequest): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(request)}\n`)
  }

  /** What is heard next; undefined once the other side has gone. To be called by one at a time. */
  async next(): Promise<Heard | undefined> {
    while (this.#heard.length === 0 && !this.#isOver) {
      await new Promise<void>((resolve) => { this.#wake = resolve })
    }
    return this.#heard.shift()
  }

  /** Ends it after what has been said. */
  close(): void {
    this.#socket.end()
  }

  #hear(chunk: Buffer): void {
    const lines = this.#cutter.push(chunk)
    if (lines === undefined) return void this.#socket.destroy()
    for (const line of lines) this.#heard.push(JSON.parse(line) as Heard)
    this.#wake()
  }
}
