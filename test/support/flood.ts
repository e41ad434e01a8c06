// Sends very many POST /jobs fast and with little memory: raw connections, one request at a time on
// each, answers counted by status. An HTTP library would be slower than the server.

import { once } from 'node:events'
import { connect } from 'node:net'

/** The requests to send. */
export interface FloodOptions {
  readonly port: number
  readonly count: number
  readonly connections?: number
  /** The body of the n-th request, as JSON in ASCII. */
  readonly bodyOf: (index: number) => string
  /** Called with each answer's status, body text, and the n of its request. */
  readonly onAnswer?: (status: number, body: string, index: number) => void
}

const HEAD_END = '\r\n\r\n'
const STATUS_AT = 'HTTP/1.1 '.length
const LENGTH = /content-length: (\d+)/i

/** Sends them all; resolves with the number of answers by status. */
export async function flood(options: FloodOptions): Promise<Map<number, number>> {
  const { port, count, connections = 64, bodyOf, onAnswer } = options
  const statuses = new Map<number, number>()
  let next = 0

  async function sendInTurn(): Promise<void> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    socket.setEncoding('latin1')
    let index = 0
    let received = ''
    const sendNext = (): void => {
      if (next >= count) {
        socket.end()
        return
      }
      index = next++
      const body = bodyOf(index)
      socket.write('POST /jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n' +
        `content-length: ${body.length}\r\n\r\n${body}`)
    }
    socket.on('data', (text: string) => {
      received += text
      const bodyAt = received.indexOf(HEAD_END) + HEAD_END.length
      if (bodyAt < HEAD_END.length) return
      const length = Number(LENGTH.exec(received)?.[1] ?? 0)
      if (received.length < bodyAt + length) return
      const status = Number(received.slice(STATUS_AT, STATUS_AT + 3))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      onAnswer?.(status, received.slice(bodyAt), index)
      received = ''
      sendNext()
    })
    const closed = once(socket, 'close')
    sendNext()
    await closed
  }

  await Promise.all(Array.from({ length: Math.min(connections, count) }, sendInTurn))
  return statuses
}
