// A client of the control socket: sends one request, and receives its progress and its answer.

import { type Socket, connect } from 'node:net'
import { CONTROL_ANSWER_BYTES_MAX } from '../base/limits.ts'
import type { ControlAnswer, ControlRequest } from './commands.ts'
import { LineCutter } from './line-cutter.ts'
import { withSocketPath } from './socket-path.ts'

/** Progress that a server reports before its answer. */
export type Progress = Readonly<Record<string, unknown>>

/** No server listens at the file. */
interface NoServer {
  readonly ok: false
  readonly error: string
  readonly isAbsent: true
}

/** A pending request. */
export interface ControlCall {
  /** Resolves with the answer, or with the reason why there is none; never rejects. */
  readonly answer: Promise<ControlAnswer | NoServer>
  /** Disconnects without waiting for the answer. */
  leave(): void
}

/** Sends a request to the server at a socket file. */
export function callControl(
  file: string, request: ControlRequest & { readonly command: string },
  onProgress: (progress: Progress) => void = () => {},
): ControlCall {
  const { promise, resolve } = Promise.withResolvers<ControlAnswer | NoServer>()
  const fail = (error: string): void => resolve({ ok: false, error })
  const cutter = new LineCutter(CONTROL_ANSWER_BYTES_MAX)
  const socket: Socket = withSocketPath(file, (path) => connect(path))
  socket.on('connect', () => { socket.write(`${JSON.stringify(request)}\n`) })
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    if (code !== 'ENOENT' && code !== 'ECONNREFUSED') return fail(reasonOf(code, file))
    resolve({ ok: false, error: `no server answers at ${file}`, isAbsent: true })
  })
  socket.on('close', () => fail('the server has ended without an answer'))
  socket.on('data', (chunk: Buffer) => {
    const lines = cutter.push(chunk)
    if (lines === undefined) return fail('the server\'s answer is too long')
    for (const line of lines) {
      const message = JSON.parse(line) as Readonly<Record<string, unknown>>
      if (message['progress'] !== undefined) onProgress(message['progress'] as Progress)
      else if (message['ok'] === true) resolve({ ok: true, fields: message })
      else fail(String(message['error']))
    }
  })
  void promise.then(() => socket.destroy())
  return { answer: promise, leave: () => socket.destroy() }
}

function reasonOf(code: string | undefined, file: string): string {
  if (code === 'EACCES' || code === 'EPERM') return `not allowed to talk to the server at ${file}`
  return `cannot talk to the server at ${file} (${code ?? 'unknown'})`
}
