// A name server on 127.0.0.1 with answers that a test sets, over UDP and, where an answer is
// truncated, over TCP.

import { type RemoteInfo, createSocket } from 'node:dgram'
import { type AddressInfo, createServer, isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Cleanup } from './server.ts'

/** The answer for a name: addresses of both families, no answer at all, or an error code. */
export type Said = { readonly addresses: readonly string[]; readonly ttlS?: number
  readonly cutOff?: boolean } | 'silence' | 'none' | 'failure'

const CODES = { none: 3, failure: 2 } as const
const TYPE_A = 1
const TYPE_AAAA = 28

/** A running server. */
export interface DnsServer {
  /** In the notation of --dns-servers: 127.0.0.1:53001. */
  readonly address: string
  /** Names queried over UDP, type A only, in order. */
  readonly asked: string[]
  /** Those queried over TCP. */
  readonly askedByTcp: string[]
  /** Answers by full name; other names do not exist. */
  readonly says: Map<string, Said>
  /** Resolves when the name has been queried `times` times. */
  askedFor(name: string, times?: number): Promise<void>
}

/** Starts a server that is stopped after the test. */
export async function startDnsServer(t: Cleanup): Promise<DnsServer> {
  const udp = createSocket('udp4')
  const asked: string[] = []
  const askedByTcp: string[] = []
  const says = new Map<string, Said>()
  const looks = new Set<() => void>()
  const answer = (query: Buffer, byTcp: boolean): Buffer | undefined => {
    const { name, type, end } = questionOf(query)
    if (type === TYPE_A) (byTcp ? askedByTcp : asked).push(name)
    for (const look of looks) look()
    return answerTo(query.subarray(0, end), type, says.get(name) ?? 'none', byTcp)
  }
  udp.on('message', (query: Buffer, { port: from, address }: RemoteInfo) => {
    const reply = answer(query, false)
    if (reply !== undefined) udp.send(reply, from, address)
  })
  const tcp = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (data: Buffer) => {
      for (let at = 0; at + 2 <= data.length; at += 2 + data.readUInt16BE(at)) {
        const reply = answer(data.subarray(at + 2, at + 2 + data.readUInt16BE(at)), true)
        if (reply === undefined) continue
        const length = Buffer.alloc(2)
        length.writeUInt16BE(reply.length)
        socket.write(Buffer.concat([length, reply]))
      }
    })
  })
  // TCP first: many of its ports are in use, of UDP's hardly any.
  await new Promise<void>((resolve) => { tcp.listen(0, '127.0.0.1', resolve) })
  const { port } = tcp.address() as AddressInfo
  await new Promise<void>((resolve) => { udp.bind(port, '127.0.0.1', resolve) })
  t.after(async () => {
    udp.close()
    tcp.close()
  })
  const askedFor = (name: string, times = 1): Promise<void> => new Promise((resolve) => {
    const look = (): void => {
      if (asked.filter((each) => each === name).length < times) return
      looks.delete(look)
      resolve()
    }
    looks.add(look)
    look()
  })
  return {
    address: `127.0.0.1:${port}`, asked, askedByTcp, says, askedFor,
  }
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}

function answerTo(question: Buffer, type: number, said: Said, byTcp: boolean): Buffer | undefined {
  if (said === 'silence') return undefined
  const head = Buffer.from(question)
  const isCutOff = typeof said !== 'string' && said.cutOff === true && !byTcp
  const addresses = typeof said === 'string' || isCutOff ? []
    : said.addresses.filter((each) => type === (isIPv6(each) ? TYPE_AAAA : TYPE_A))
  head.writeUInt16BE(0x8180 | (isCutOff ? 0x0200 : 0) |
    (typeof said === 'string' ? CODES[said] : 0), 2)
  head.writeUInt16BE(addresses.length, 6)
  head.writeUInt32BE(0, 8)
  const records = addresses.map((address) => {
    const bytes = ipaddr.parse(address).toByteArray()
    const ttlS = typeof said === 'string' ? 0 : said.ttlS ?? 60
    const record = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length, ...bytes])
    record.writeUInt32BE(ttlS, 6)
    return record
  })
  return Buffer.concat([head, ...records])
}
