// Whatever a client writes into the headers that name addresses, and whichever of them its proxies
// write: it is taken for itself or for one of the proxies, never for anybody else.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import ipaddr from 'ipaddr.js'
import type { Prng } from '../../../../shards/base/prng.ts'
import { ClientAddresses, showAddress } from '../../../../src/http/client-address.ts'
import { fakeRequest } from '../../../support/fake-request.ts'
import { forEachSeed } from '../../../support/swarm.ts'

const RUNS = 20_000
const PROXIES = ['10.0.0.1', '10.9.9.9', 'fd00::1', '2001:db8::7']
const CLIENTS = ['203.0.113.9', '2001:db8:1::9']
const OTHERS = ['6.6.6.6', '[2001:db8:6::6]', '2001:db8:6::6', '"[2001:db8:6::6]:1"']
const PARTS = [...OTHERS, ...OTHERS.map((other) => `for=${other}`), '"', '\\', ',', ';', '=', ' ',
  '\t', '[', ']', ':', 'x=', 'by=', 'for', 'unknown', '_h', ', ', ';x="', '";', 'ÿ', '%']

const addresses = new ClientAddresses(['10.0.0.0/8', 'fd00::1', '2001:db8::7/128'])
const pick = <T>(prng: Prng, of: readonly T[]): T => of[prng.below(of.length)] as T

function forged(prng: Prng): string {
  let text = ''
  for (let parts = prng.below(9); parts > 0; parts--) text += pick(prng, PARTS)
  return text.trim()
}

/** What a proxy appends for the address that it saw. */
function element(prng: Prng, name: string, seen: string): string {
  const isV6 = seen.includes(':')
  const port = prng.chance(0.3) ? `:${prng.between(1, 65_535)}` : ''
  if (name === 'x-forwarded-for') {
    return port === '' ? seen : isV6 ? `[${seen}]${port}` : seen + port
  }
  const node = isV6 ? `"[${seen}]${port}"` : port === '' ? seen : `"${seen}${port}"`
  const before = prng.chance(0.3) ? 'by="_p";' : ''
  return `${before}for=${node}${prng.chance(0.3) ? ';proto=https;host="a.example:80"' : ''}`
}

test('a client is taken for itself or for a proxy', () => {
  let found = 0
  forEachSeed(RUNS, (prng, seed) => {
    const client = pick(prng, CLIENTS)
    const chain = Array.from({ length: prng.between(1, 3) }, () => pick(prng, PROXIES))
    const written = pick(prng, ['forwarded', 'x-forwarded-for'] as const)
    const headers: [name: string, value: string][] = []
    for (const name of ['forwarded', 'x-forwarded-for']) {
      if (prng.chance(0.7)) headers.push([name, forged(prng)])
    }
    for (const seen of [client, ...chain.slice(0, -1)]) {
      const text = element(prng, written, seen)
      const last = headers.findLast(([name]) => name === written)
      if (last === undefined || prng.chance(0.3)) headers.push([written, text])
      else last[1] = last[1] === '' ? text : `${last[1]}, ${text}`
    }
    const remote = Uint8Array.from(ipaddr.parse(chain.at(-1) as string).toByteArray()).buffer
    const address = showAddress(addresses.of(remote, fakeRequest(headers)))
    assert.ok([client, ...chain].includes(address), `${address}: ${JSON.stringify(headers)}`)
    const isAlone = headers.every(([name]) => name === 'x-forwarded-for')
    if (isAlone) assert.equal(address, client, `${seed} ${JSON.stringify(headers)}`)
    if (address === client) found++
  })
  assert.ok(found > RUNS / 10, `the client itself was found ${found} times`)
})
