// The address of the server for a command: --server, else SLUICE_SERVER, else this machine. A path
// in it is a proxy's prefix; user and password are sent as HTTP basic authentication. Neither these
// nor the API key, which is sent in X-Sluice-Key, is ever shown.

import { type Environment, readVariable } from '../config/environment.ts'
import { SERVER_ENV } from '../config/settings.ts'

export const SERVER_DEFAULT = 'http://127.0.0.1:4000'

/** A server, as seen by a client. */
export interface ServerAddress {
  /** The address without secrets. */
  readonly shown: string
  readonly headers: Readonly<Record<string, string>>
  /** An API key is among the headers. */
  readonly hasKey: boolean
  /** @param path a path of the server's API, without a leading slash: `jobs/1`. */
  at(path: string): URL
}

type Read = { readonly ok: true; readonly server: ServerAddress } |
  { readonly ok: false; readonly problem: string }

/**
 * @param flag the value of --server, if given.
 * @param key the API key that requests present, if any.
 */
export function serverAddress(
  flag: string | undefined, key: string | undefined, env: Environment,
): Read {
  const text = flag ?? readVariable(env, SERVER_ENV) ?? SERVER_DEFAULT
  const name = flag === undefined ? SERVER_ENV : '--server'
  const refuse = (expected: string): Read => ({ ok: false, problem: `${name} ${expected}` })
  // The URL parser ignores line breaks and tabs, so they are refused before.
  // oxlint-disable-next-line no-control-regex -- they are what is refused
  const url = /[\x00-\x20\x7f]/.test(text) ? null : URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    return refuse(`has to be an address such as ${SERVER_DEFAULT}`)
  }
  if (text.includes('?') || text.includes('#')) {
    return refuse('has to be an address without ? and #')
  }
  const { origin, password, username } = url
  const path = url.pathname.endsWith('/') ? url.pathname : `${url.pathname}/`
  const isSecret = username !== '' || password !== ''
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { ok: true, server: {
    shown: origin + path.slice(0, -1), hasKey: key !== undefined,
    headers: {
      ...(isSecret && { authorization: `Basic ${Buffer.from(login).toString('base64')}` }),
      ...(key !== undefined && { 'x-sluice-key': key }),
    },
    at: (below) => new URL(path + below, origin),
  } }
}
