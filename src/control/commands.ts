// The interface of control commands, and the table of commands by name.

/** A request: an object with the name of a command and its parameters. */
export type ControlRequest = Readonly<Record<string, unknown>>

/** The answer to a request: {"ok":true,…} or {"error":…} on the wire. */
export type ControlAnswer =
  | { readonly ok: true, readonly fields?: Readonly<Record<string, unknown>> }
  | { readonly ok: false, readonly error: string }

/** The client of a command, until the answer. */
export interface Asking {
  /** Sends {"progress":…}; skipped for a client that does not read. */
  progress(fields: Readonly<Record<string, unknown>>): void
  /**
   * Resolves if the client disconnects before the answer, which shows when progress is sent to it:
   * a client may have closed its sending side and still listen.
   */
  readonly gone: Promise<void>
  /**
   * Until the answer, further messages of the client are passed to the callback and not answered;
   * undefined when the client sends no more, or has disconnected.
   */
  hear(heard: (said: ControlRequest | undefined) => void): void
}

/** Executes a request. What it starts may continue when the client has disconnected. */
export type ControlCommand = (request: ControlRequest, asking: Asking) => Promise<ControlAnswer>

/** By the name in a request's `command`. */
export type ControlCommands = ReadonlyMap<string, ControlCommand>

/** The request in a line, or why it is invalid. */
export function readRequest(line: string):
  { readonly name: string, readonly request: ControlRequest } | { readonly error: string } {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    return { error: 'the line is not JSON' }
  }
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  const request = isObject ? value as ControlRequest : {}
  const name = request['command']
  if (typeof name === 'string') return { name, request }
  return { error: 'a request is an object with a command, such as {"command":"reload"}' }
}
