// One WebSocket upgrade by hand, for the answer of a server that refuses it: Node's WebSocket does
// not show it, and a request without an upgrade may be refused for another reason.

import { randomBytes } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { json } from 'node:stream/consumers'
import { PROTOCOL } from '../ws/protocol.ts'
import type { ServerAddress } from './server-address.ts'

/** A refusal: the fields of its JSON object, if it has one. */
export type UpgradeRefusal = Readonly<Record<string, unknown>> & { readonly status: number }

const SILENT_MS_MAX = 10_000

/** Resolves with undefined if there is no answer, or the server does open a socket. */
export function askUpgrade(server: ServerAddress): Promise<UpgradeRefusal | undefined> {
  const { promise, resolve } = Promise.withResolvers<UpgradeRefusal | undefined>()
  const address = server.at('ws')
  const { get } = address.protocol === 'https:' ? https : http
  const request = get(address, { agent: false, timeout: SILENT_MS_MAX, headers: {
    ...server.headers, 'connection': 'Upgrade', 'upgrade': 'websocket',
    'sec-websocket-version': '13', 'sec-websocket-protocol': PROTOCOL,
    'sec-websocket-key': randomBytes(16).toString('base64'),
  } })
  request.on('timeout', () => request.destroy())
  request.on('error', () => resolve(undefined))
  request.on('upgrade', (_, socket) => {
    socket.destroy()
    resolve(undefined)
  })
  request.on('response', (response) => {
    const status = response.statusCode ?? 0
    json(response).then((value) => resolve({ ...value as object, status }),
      () => resolve({ status }))
  })
  return promise
}
