// A socket, TCP or TLS, without the parts of a stream that undici does not need.
// Thread: shard. Memory: one read buffer and one write buffer, which all connections share.
// Never: knows of HTTP, or changes what is sent or received, or its order.
//
// undici calls read() whenever a socket is `readable`, and writes a request as two corked chunks.
// An ordinary socket reads each chunk into newly allocated memory (with TCP 64 KiB, most of which
// is given back), queues it in the stream and emits `readable` a tick later; two written chunks are
// gathered by the kernel, or by TLS, with an object allocated for that. Here received bytes are
// copied from one buffer and emitted at once, and two written chunks are concatenated first.
// Measured: without it the thread needs 13 % more CPU time for a job that is sent and reported.

import { type OnReadOpts, Socket } from 'node:net'
import { type ConnectionOptions, type TLSSocket, connect } from 'node:tls'
import { SOCKET_READ_BYTES, SOCKET_WRITE_BYTES } from '../memory/socket-limits.ts'

type Callback = (error?: Error | null) => void

/** A chunk as a stream passes it to `_writev`. */
interface Chunk {
  readonly chunk: Uint8Array | string
  readonly encoding: BufferEncoding
}

/** A stream's encoding for a chunk of bytes; missing in its types. */
const BYTES = 'buffer' as BufferEncoding

const reading = Buffer.allocUnsafeSlow(SOCKET_READ_BYTES)
let writing = Buffer.allocUnsafeSlow(SOCKET_WRITE_BYTES)

/**
 * A TCP socket whose reader listens to `readable` and calls `read()` without a size until it gets
 * null. Its members are public since TLS sockets, which Node creates itself, borrow them.
 */
export class LeanSocket extends Socket {
  /** The bytes just received, until they are read. */
  arrived: Buffer | null = null
  /** The stream itself holds something, the end or unread bytes: from then on it is used. */
  isStream = false
  /** The write buffer may be reused as soon as a write has returned. */
  takesAtOnce = false

  constructor() {
    super({ onread: onreadOf(() => this) })
  }

  override read(size?: number): unknown {
    if (this.isStream || size !== undefined) return super.read(size) as unknown
    const { arrived } = this
    this.arrived = null
    return arrived
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    this.isStream = true
    return super.push(chunk, encoding)
  }

  override unshift(chunk: unknown, encoding?: BufferEncoding): void {
    this.isStream = true
    super.unshift(chunk, encoding)
  }

  override _writev(chunks: readonly Chunk[], callback: Callback): void {
    const together = this.connecting ? undefined : concatenated(chunks)
    if (together === undefined) return super._writev?.([...chunks], callback)
    super._write(together, BYTES, callback)
    // Bytes that could not be written at once stay in the old buffer until they are.
    if (!this.takesAtOnce && this.writableLength > 0) {
      writing = Buffer.allocUnsafeSlow(SOCKET_WRITE_BYTES)
    }
  }
}

/** Opens a TLS socket with the same members. */
export function connectLean(options: ConnectionOptions): TLSSocket {
  const { read, push, unshift, _writev } = LeanSocket.prototype
  const onread = onreadOf(() => socket)
  const socket = Object.assign(connect({ ...options, onread } as ConnectionOptions), {
    arrived: null, isStream: false,
    takesAtOnce: true, // TLS encrypts it, or keeps a copy
    read, push, unshift, _writev,
  })
  return socket
}

/** The `onread` option of a socket that reads into the shared buffer. */
function onreadOf(socket: () => Leanness): OnReadOpts {
  return {
    buffer: reading,
    callback: (length) => receive(socket(), Buffer.from(reading.subarray(0, length))),
  }
}

/** The part of a socket that reading uses. */
type Leanness = Socket & Pick<LeanSocket, 'isStream'> & { arrived: Buffer | null }

/** Passes received bytes to the reader. @returns whether to continue reading. */
function receive(socket: Leanness, arrived: Buffer): boolean {
  if (!socket.isStream) {
    socket.arrived = arrived
    socket.emit('readable')
    if (socket.arrived === null) return true
    socket.arrived = null
  }
  return socket.push(arrived)
}

/** Concatenates the chunks in the write buffer; undefined when they do not fit. */
function concatenated(chunks: readonly Chunk[]): Buffer | undefined {
  let length = 0
  for (const { chunk, encoding } of chunks) {
    if (length + Buffer.byteLength(chunk, encoding) > SOCKET_WRITE_BYTES) return undefined
    if (typeof chunk === 'string') {
      length += writing.write(chunk, length, encoding)
    } else {
      writing.set(chunk, length)
      length += chunk.length
    }
  }
  return writing.subarray(0, length)
}
