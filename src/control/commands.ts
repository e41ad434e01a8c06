// What can be asked over the control socket: a table of commands by name.

/** A request: an object with the name of a command, and what else that command reads of it. */
export type ControlRequest = Readonly<Record<string, unknown>>

/** How a request ends: {"ok":true,…} or {"error":…} on the wire. */
export type ControlAnswer =
  | { readonly ok: true, readonly fields?: Readonly<Record<string, unknown>> }
  | { readonly ok: false, readonly error: string }

/** Who has asked, until the answer. */
export interface Asking {
  /** {"progress":…} on the wire; left out for a client that does not read. */
  progress(fields: Readonly<Record<string, unknown>>): void
  /**
   * Resolves if the client goes away before the answer, which shows when it is told of progress: it
   * may have said all it has to say and still listen.
   */
  readonly gone: Promise<void>
  /**
   * Until the answer, whatever else the client says comes here, and is not answered; undefined once
   * it says nothing more, or has gone.
   */
  hear(heard: (said: ControlRequest | undefined) => void): void
}

/** Does what is asked. What it begins may go on when the client has gone. */
export type ControlCommand = (request: ControlRequest, asking: Asking) => Promise<ControlAnswer>

/** By the name that stands in a request's `command`. */
export type ControlCommands = ReadonlyMap<string, ControlCommand>

/** The request in a line, or what is wrong with it. */
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
