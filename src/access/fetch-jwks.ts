// Fetches a key set over HTTP or HTTPS, from an address that the rules for requests allow. No
// redirect is followed; size and time are bounded.

import dns from 'node:dns'
import http from 'node:http'
import https from 'node:https'
import { isIP } from 'node:net'
import { getCACertificates } from 'node:tls'
import type { Clock } from '../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../shards/base/units.ts'
import { Egress } from '../../shards/transport/egress.ts'
import { judgedLookup } from '../../shards/transport/judged-lookup.ts'
import { JWKS_BYTES_MAX, JWKS_FETCH_MS_MAX } from '../base/limits.ts'
import { USER_AGENT } from '../base/version.ts'
import type { JwksUrl } from '../config/jwt-settings.ts'
import type { FetchText, Fetched } from './jwks.ts'

const DEFAULT_PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 }

/** @param clock gives each fetch a clock of its own, since a clock has one wake-up. */
export const fetchJwks = (clock: () => Clock): FetchText => (from) => fetchText(from, clock())

function fetchText({ egress: rules, extraCaPem, url: text }: JwksUrl, clock: Clock):
  Promise<Fetched> {
  const url = new URL(text)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? DEFAULT_PORTS[url.protocol] as number : Number(url.port)
  const egress = new Egress(rules)
  // An address is dialled as it is, without a look-up.
  const rule = isIP(host) === 0 ? undefined : egress.judge(host, host, port)
  if (rule !== undefined) return Promise.resolve({ error: `the rule ${rule} refuses ${host}` })
  const { promise, resolve } = Promise.withResolvers<Fetched>()
  const request = (url.protocol === 'https:' ? https : http).request(url, {
    agent: false, headers: { accept: 'application/json', 'user-agent': USER_AGENT },
    lookup: judgedLookup(dns.lookup, egress, port),
    ...(extraCaPem !== '' && { ca: [...getCACertificates('default'), extraCaPem] }),
  })
  const fail = (error: string): void => {
    resolve({ error })
    request.destroy()
  }
  clock.wakeAt(clock.nowUs() + msToUs(JWKS_FETCH_MS_MAX) as Micros,
    () => fail(`no whole answer within ${JWKS_FETCH_MS_MAX} ms`))
  request.on('error', ({ message, name }) =>
    fail(name === 'RefusedAddressError' ? `the rule ${message} refuses ${host}` : message))
  request.on('response', (response) => {
    if (response.statusCode !== 200) return fail(`the answer has status ${response.statusCode}`)
    const chunks: Buffer[] = []
    let bytes = 0
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > JWKS_BYTES_MAX) fail(`the answer has more than ${JWKS_BYTES_MAX} bytes`)
      else chunks.push(chunk)
    })
    response.on('error', ({ message }) => fail(message))
    response.on('end', () => resolve({ text: Buffer.concat(chunks).toString() }))
  })
  request.end()
  return promise.finally(() => clock.wakeAt(Infinity as Micros, () => {}))
}
