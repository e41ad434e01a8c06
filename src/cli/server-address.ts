// Where the server is that a command talks to: --server, else SLUICE_SERVER, else this machine.
// A path is what a proxy has before the server's own; a user and a password are sent as HTTP's
// basic authentication, and never shown.

import { type Environment, readVariable } from '../config/environment.ts'
import { SERVER_ENV } from '../config/settings.ts'

export const SERVER_DEFAULT = 'http://127.0.0.1:4000'

/** A server, from a client's side. */
export interface ServerAddress {
  /** Without what is secret. */
  readonly shown: string
  readonly headers: Readonly<Record<string, string>>
  /** @param path of the server's own, without a slash before it: `jobs/1`. */
  at(path: string): URL
}

type Read = { readonly ok: true; readonly server: ServerAddress } |
  { readonly ok: false; readonly problem: string }

/** @param flag what was typed behind --server, if anything. */
export function serverAddress(flag: string | undefined, env: Environment): Read {
  const text = flag ?? readVariable(env, SERVER_ENV) ?? SERVER_DEFAULT
  const name = flag === undefined ? SERVER_ENV : '--server'
  const refuse = (expected: string): Read => ({ ok: false, problem: `${name} ${expected}` })
  // A URL's parser leaves out line breaks and tabs.
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
    shown: origin + path.slice(0, -1),
    headers: isSecret ? { authorization: `Basic ${Buffer.from(login).toString('base64')}` } : {},
    at: (below) => new URL(path + below, origin),
  } }
}
