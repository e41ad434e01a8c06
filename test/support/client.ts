// A small HTTP client for tests, on keep-alive connections: each call returns one answer as text.

import http from 'node:http'

/** A complete answer. */
export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  /** The text as JSON; throws where it is none. */
  json(): Record<string, unknown>
}

/** Idle connections do not keep a test's process alive. */
const agent = new http.Agent({ keepAlive: true })

/** Sends one request; an object as body is sent as JSON, with its content type. */
export function send(
  method: string, url: string, body?: object | string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const isJson = typeof body === 'object' && !(body instanceof Uint8Array)
  const bytes = isJson ? JSON.stringify(body) : body
  const request = http.request(url, {
    method, agent,
    headers: {
      ...(isJson ? { 'content-type': 'application/json' } : {}),
      ...(bytes === undefined ? {} : { 'content-length': String(Buffer.byteLength(bytes)) }),
      ...headers,
    },
  }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk))
    response.on('error', reject)
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8')
      resolve({
        status: response.statusCode ?? 0, headers: response.headers, text,
        json: () => JSON.parse(text) as Record<string, unknown>,
      })
    })
  })
  request.on('error', reject)
  request.end(bytes)
  return promise
}

/** POST with a JSON body, or with bytes or text as they are. */
export const post = (
  url: string, body: object | string | Uint8Array, headers?: Readonly<Record<string, string>>,
): Promise<Answer> => send('POST', url, body, headers)

/** GET. */
export const get = (url: string, headers?: Readonly<Record<string, string>>): Promise<Answer> =>
  send('GET', url, undefined, headers)
