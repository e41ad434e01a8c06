// A listening uWebSockets.js application for the processes that act as servers: one handler for all
// POST requests, which reads the body and answers.

import {
  type HttpRequest, type HttpResponse, type ListenSocket, loadHttpLibrary,
} from '../../../src/http/uws.ts'

/** Answers one request whose body has been read; called inside cork(). */
export type Answer = (response: HttpResponse) => void
/** Reads a request's head and returns how it will be answered. */
export type Handle = (request: HttpRequest) => Answer

/** The address, and options. */
export interface Place {
  readonly host: string
  /** Over TLS, with the certificate and key in this file. */
  readonly pemFile?: string | undefined
}

/** Listens on a free port and returns it. Rejects when this machine does not have the address. */
export async function listenNative(
  { host, pemFile }: Place, handle: Handle, onBody?: (part: ArrayBuffer) => void,
): Promise<number> {
  const library = await loadHttpLibrary()
  const app = pemFile === undefined ? library.App()
    : library.SSLApp({ cert_file_name: pemFile, key_file_name: pemFile })
  app.any('/*', (response, request) => {
    const answer = handle(request)
    let isOpen = true
    response.onAborted(() => { isOpen = false })
    response.onData((part, isLast) => {
      onBody?.(part)
      if (!isLast || !isOpen) return
      response.cork(() => answer(response))
    })
  })
  let socket: ListenSocket | false = false
  app.listen(host, 0, library.LIBUS_LISTEN_EXCLUSIVE_PORT, (opened) => { socket = opened })
  if (socket === false) throw new Error(`cannot listen on ${host}`)
  return library.us_socket_local_port(socket)
}
