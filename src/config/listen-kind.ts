// The kind of value of `operate-listen`: an address with a port, or one of two words.

import { isIP } from 'node:net'
import { type Kind, word } from './kinds.ts'

/** The loopback, with the port after that of the callers. */
export const LISTEN_AUTO = 'auto'
/** No such listener. */
export const LISTEN_OFF = 'off'

export const PORT_MAX = 65_535
const PLACE = /^(?:\[([^\]]+)\]|([a-z0-9._-]+)):(\d{1,5})$/i

/** `127.0.0.1:4001`, `[::1]:4001`, `localhost:4001`; undefined for anything else. */
export function parsePlace(text: string):
  { readonly host: string, readonly port: number } | undefined {
  const [, bracketed, bare, digits] = PLACE.exec(text) ?? []
  const port = Number(digits)
  const host = bracketed ?? bare
  const isHost = host !== undefined && (bracketed === undefined || isIP(host) === 6)
  return isHost && port <= PORT_MAX ? { host, port } : undefined
}

const EXPECTED = 'HOST:PORT such as 127.0.0.1:4001 or [::1]:4001, auto, or off'
const WORD = word(EXPECTED, '<host:port>')

export const listenKind: Kind<string> = {
  ...WORD,
  schema: WORD.schema.refine(
    (text) => text === LISTEN_AUTO || text === LISTEN_OFF || parsePlace(text) !== undefined,
    { error: EXPECTED }),
}
