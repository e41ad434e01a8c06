// The control socket of a running server: each line is a JSON request, answered with JSON lines,
// one request after another. The file's mode restricts who may connect.

import { type Server, type Socket, createServer } from 'node:net'
import type { Clock } from '../../shards/base/clock.ts'
import {
  CONTROL_BACKLOG_BYTES_MAX, CONTROL_CONNECTIONS_MAX, CONTROL_LINE_BYTES_MAX,
  CONTROL_REQUESTS_WAITING_MAX,
} from '../base/limits.ts'
import type { Log } from '../base/log.ts'
import { bindControl } from './bind.ts'
import {
  type Asking, type ControlAnswer, type ControlCommands, type ControlRequest, readRequest,
} from './commands.ts'
import { LineCutter } from './line-cutter.ts'
import type { SocketPath } from './socket-path.ts'

const STARTING: ControlCommands = new Map()

/** A bound control socket; created by open(). */
export class ControlServer {
  readonly file: string
  readonly #server: Server
  readonly #log: Log
  readonly #connections = new Set<Socket>()
  #commands = STARTING
  #way: SocketPath | undefined

  private constructor(file: string, server: Server, log: Log) {
    this.file = file
    this.#server = server
    this.#log = log
    server.maxConnections = CONTROL_CONNECTIONS_MAX
    server.on('connection', (socket: Socket) => this.#connected(socket))
  }

  /**
   * Binds the file; until commands() is called, every request is answered with an error. Throws
   * like bindControl(). @param clock is used for one wake-up.
   */
  static async open(file: string, clock: Clock, log: Log): Promise<ControlServer> {
    // A client that has closed its sending side may still listen.
    const server = createServer({ allowHalfOpen: true })
    const control = new ControlServer(file, server, log)
    control.#way = await bindControl(server, file, clock)
    server.on('error', (error) => log.warn({ err: error }, 'the control socket has an error'))
    return control
  }

  /** Sets the available commands. */
  commands(commands: ControlCommands): void {
    this.#commands = commands
  }

  /** Removes the file, so that another process may bind it; connections stay open. */
  release(): void {
    if (this.#server.listening) this.#server.close()
    this.#way?.close()
    this.#way = undefined
  }

  /** Removes the file, and closes every connection after its pending output. */
  close(): void {
    this.release()
    for (const socket of this.#connections) socket.end(() => socket.destroy())
  }

  #connected(socket: Socket): void {
    this.#connections.add(socket)
    socket.on('close', () => { this.#connections.delete(socket) })
    socket.on('error', () => { /* 'close' follows, and nobody is left to tell */ })
    const conversation = new Conversation(socket, (line, asking) => this.#answer(line, asking))
    socket.on('data', (chunk: Buffer) => conversation.receive(chunk))
    socket.on('end', () => conversation.ended())
  }

  async #answer(line: string, asking: Asking): Promise<ControlAnswer> {
    const read = readRequest(line)
    if ('error' in read) return { ok: false, error: read.error }
    if (this.#commands === STARTING) return { ok: false, error: 'the server is still starting' }
    const command = this.#commands.get(read.name)
    if (command === undefined) {
      const known = [...this.#commands.keys()].join(', ')
      return { ok: false, error: `there is no such command; known are ${known}` }
    }
    try {
      return await command(read.request, asking)
    } catch (error) {
      this.#log.error({ err: error, command: read.name }, 'a control command failed')
      return { ok: false, error: 'the command failed; the server\'s log says why' }
    }
  }
}

/** One connection: handles its requests one at a time. */
class Conversation {
  readonly #socket: Socket
  readonly #answer: (line: string, asking: Asking) => Promise<ControlAnswer>
  readonly #cutter = new LineCutter(CONTROL_LINE_BYTES_MAX)
  readonly #gone: Promise<void>
  #lines: string[] = []
  #isBusy = false
  /** Receives the client's messages while a request has no answer. */
  #listener: ((said: ControlRequest | undefined) => void) | undefined
  /** The client sends no more requests. */
  #isEnded = false

  constructor(
    socket: Socket, answer: (line: string, asking: Asking) => Promise<ControlAnswer>,
  ) {
    this.#socket = socket
    this.#answer = answer
    this.#gone = new Promise((resolve) => {
      socket.once('close', () => {
        resolve()
        this.ended()
      })
    })
  }

  receive(chunk: Buffer): void {
    if (this.#isEnded) return
    const lines = this.#cutter.push(chunk)
    if (lines === undefined) {
      return this.#refuse(`a request has at most ${CONTROL_LINE_BYTES_MAX} bytes`)
    }
    for (const line of lines) if (line.trim() !== '') this.#lines.push(line)
    if (this.#listener !== undefined) return this.#deliver(this.#listener)
    if (this.#lines.length > CONTROL_REQUESTS_WAITING_MAX) return this.#refuse('too much at once')
    void this.#goOn()
  }

  ended(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#listener?.(undefined)
    void this.#goOn()
  }

  /** Answers with an error and closes the connection. */
  #refuse(error: string): void {
    this.#isEnded = true
    this.#lines = []
    this.#listener?.(undefined)
    this.#say({ error })
    this.#socket.end(() => this.#socket.destroy())
  }

  async #goOn(): Promise<void> {
    if (this.#isBusy) return
    this.#isBusy = true
    for (let line = this.#lines.shift(); line !== undefined; line = this.#lines.shift()) {
      const answer = await this.#answer(line, {
        gone: this.#gone, progress: (progress) => this.#progress(progress),
        hear: (listener) => this.#listenBy(listener),
      })
      this.#listener = undefined
      this.#say(answer.ok ? { ok: true, ...answer.fields } : { error: answer.error })
    }
    this.#isBusy = false
    if (this.#isEnded) this.#socket.end()
  }

  #listenBy(listener: (said: ControlRequest | undefined) => void): void {
    this.#listener = listener
    this.#deliver(listener)
    if (this.#isEnded) listener(undefined)
  }

  /** Delivers the queued messages; skips invalid ones. */
  #deliver(listener: (said: ControlRequest | undefined) => void): void {
    const lines = this.#lines
    this.#lines = []
    for (const line of lines) {
      const read = readRequest(line)
      if (!('error' in read)) listener(read.request)
    }
  }

  #progress(progress: object): void {
    if (this.#socket.writableLength <= CONTROL_BACKLOG_BYTES_MAX) this.#say({ progress })
  }

  #say(message: object): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`)
  }
}
