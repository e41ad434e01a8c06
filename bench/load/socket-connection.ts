// One WebSocket of the load generator, over a bare socket, so that no library affects the
// measurement.

import { randomBytes } from 'node:crypto'
import { type Socket, connect } from 'node:net'
import { KEY_LINE } from './api-key.ts'

/** Receives a connection's messages. */
export interface SocketOwner {
  /** The bytes are valid only until it returns. */
  onMessage(connection: SocketConnection, message: Buffer, isBinary: boolean): void
  onBroken(connection: SocketConnection, reason: string): void
}

const TEXT = 1
const BINARY = 2
const CLOSE = 8
const PING = 9
const PONG_MASKED = [0x8a, 0x80, 0, 0, 0, 0]

/** An open WebSocket that speaks sluice.v1. */
export class SocketConnection {
  readonly #owner: SocketOwner
  readonly #socket: Socket
  readonly #opened = Promise.withResolvers<void>()
  #isOpen = false
  #isClosed = false
  #rest: Buffer = Buffer.alloc(0)

  private constructor(socket: Socket, owner: SocketOwner) {
    this.#socket = socket
    this.#owner = owner
  }

  /** Rejects when it cannot connect, or when the upgrade is refused. */
  static async open(
    address: { readonly host: string; readonly port: number }, owner: SocketOwner,
  ): Promise<SocketConnection> {
    const socket = connect({ ...address, noDelay: true })
    const connection = new SocketConnection(socket, owner)
    socket.on('data', (chunk: Buffer) => connection.#take(chunk))
    socket.on('error', (error) => connection.#end(error.message))
    socket.on('close', () => connection.#end('the server closed the connection'))
    socket.write(`GET /ws HTTP/1.1\r\nHost: ${address.host}:${address.port}\r\n` +
      'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\n` +
      `Sec-WebSocket-Protocol: sluice.v1\r\n${KEY_LINE}\r\n`)
    await connection.#opened.promise
    return connection
  }

  /** Sends a whole frame. */
  send(frame: Buffer): void {
    this.#socket.write(frame)
  }

  /** Closes it. */
  close(): void {
    this.#isClosed = true
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = this.#isOpen ? 0 : this.#takeHead(bytes)
    if (at < 0) return
    for (;;) {
      const next = this.#takeFrame(bytes, at)
      if (next < 0 || this.#isClosed) break
      at = next
    }
    this.#rest = Buffer.from(bytes.subarray(at))
  }

  /** The offset of the first frame; -1 when the head is incomplete. */
  #takeHead(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n\r\n')
    if (end < 0) {
      this.#rest = Buffer.from(bytes)
      return -1
    }
    const status = bytes.subarray(0, bytes.indexOf('\r\n')).toString('latin1')
    if (!status.startsWith('HTTP/1.1 101')) {
      this.#end(`the server did not upgrade: ${status}`)
      return -1
    }
    this.#isOpen = true
    this.#opened.resolve()
    return end + 4
  }

  /** The offset of the next frame; -1 when this one is incomplete. Servers do not mask. */
  #takeFrame(bytes: Buffer, start: number): number {
    if (start + 2 > bytes.length) return -1
    const opcode = (bytes[start] as number) & 15
    let length = (bytes[start + 1] as number) & 127
    let at = start + 2
    if (length === 126) {
      if (at + 2 > bytes.length) return -1
      length = bytes.readUInt16BE(at)
      at += 2
    } else if (length === 127) {
      if (at + 8 > bytes.length) return -1
      length = Number(bytes.readBigUInt64BE(at))
      at += 8
    }
    const end = at + length
    if (end > bytes.length) return -1
    if (opcode === TEXT || opcode === BINARY) {
      this.#owner.onMessage(this, bytes.subarray(at, end), opcode === BINARY)
    } else if (opcode === PING) this.#socket.write(Buffer.from(PONG_MASKED))
    else if (opcode === CLOSE) {
      this.#end(`the server closed with ${length >= 2 ? bytes.readUInt16BE(at) : 'no code'}`)
    }
    return end
  }

  #end(reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#socket.destroy()
    this.#opened.reject(new Error(reason))
    if (this.#isOpen) this.#owner.onBroken(this, reason)
  }
}
