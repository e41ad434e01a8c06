// The API key that the load generator presents to a server that asks for one: of SLUICE_KEY, which
// the bench's processes inherit. The server's key has to be one for many users.

const key = process.env['SLUICE_KEY'] ?? ''

/** For fetch(). */
export const KEY_HEADERS: Readonly<Record<string, string>> = key === '' ? {}
  : { 'x-sluice-key': key }

/** A line of a request's head; empty without a key. */
export const KEY_LINE = key === '' ? '' : `X-Sluice-Key: ${key}\r\n`
