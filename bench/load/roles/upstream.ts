// The upstreams: they answer every request with a short 200 and the announced pace that was set,
// and record the time of each send if requested.

import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { monotonicUs } from '../../../shards/base/clock.ts'
import type { HttpResponse } from '../../../src/http/uws.ts'
import { checkPace } from '../pace-check.ts'
import { accountOf } from '../payloads.ts'
import { SendNotes } from '../send-notes.ts'
import type { AccountSends, UpstreamCommands, UpstreamConduct } from './messages.ts'
import { type Place, listenNative } from './native-server.ts'
import { cpuTime, serveRole } from './role-loop.ts'

const LAG_EVERY_MS = 2
const SILENT: UpstreamConduct =
  { rps: undefined, maxConcurrent: undefined, accountQueue: undefined, note: false }

/** One port. */
class Upstream {
  sends = 0
  notes = new SendNotes()
  #conduct = SILENT
  #headers: readonly (readonly [string, string])[] = []

  follow(conduct: UpstreamConduct): void {
    this.#conduct = conduct
    const headers: [string, string][] = []
    if (conduct.rps !== undefined) headers.push(['X-Aqueduct-Rps', String(conduct.rps)])
    if (conduct.maxConcurrent !== undefined) {
      headers.push(['X-Aqueduct-Max-Concurrent', String(conduct.maxConcurrent)])
    }
    if (conduct.accountQueue !== undefined) {
      headers.push(['X-Aqueduct-Account-Queue', conduct.accountQueue ? 'enabled' : 'disabled'])
    }
    this.#headers = headers
    this.notes = new SendNotes()
  }

  get isNoting(): boolean {
    return this.#conduct.note
  }

  answer(response: HttpResponse): void {
    for (const [name, value] of this.#headers) response.writeHeader(name, value)
    response.end('ok')
  }
}

const upstreams: Upstream[] = []
let lag: IntervalHistogram | undefined

async function listen(place: Place): Promise<number> {
  const upstream = new Upstream()
  upstreams.push(upstream)
  const answer = (response: HttpResponse): void => upstream.answer(response)
  return listenNative(place, (request) => {
    upstream.sends += 1
    if (upstream.isNoting) {
      upstream.notes.add(monotonicUs(), accountOf(request.getHeader('authorization')))
    }
    return answer
  })
}

function named(index: number): Upstream {
  const upstream = upstreams[index]
  if (upstream === undefined) throw new Error(`there is no upstream ${index}`)
  return upstream
}

function sendsByAccount(notes: SendNotes, fromUs: number, untilUs: number): AccountSends[] {
  const byAccount = new Map<number, { account: number; sends: number; firstUs: number }>()
  for (let index = 0; index < notes.count; index++) {
    const atUs = notes.timesUs[index] as number
    const account = notes.accounts[index] as number
    const known = byAccount.get(account) ?? { account, sends: 0, firstUs: atUs }
    if (atUs >= fromUs && atUs < untilUs) known.sends += 1
    byAccount.set(account, known)
  }
  return [...byAccount.values()]
}

serveRole<UpstreamCommands>({
  listen: async ({ count, ...place }) => {
    const ports: number[] = []
    for (let made = 0; made < count; made++) ports.push(await listen(place))
    return { ports }
  },
  conduct: ({ upstream, conduct }) => {
    named(upstream).follow(conduct)
    if (conduct.note && lag === undefined) {
      lag = monitorEventLoopDelay({ resolution: LAG_EVERY_MS })
      lag.enable()
    }
    lag?.reset()
    return cpuTime()
  },
  count: ({ upstream }) => ({ sends: named(upstream).sends }),
  pace: ({ upstream, question }) => {
    const lagUs = lag === undefined ? 0 : Math.max(0, lag.max / 1000 - LAG_EVERY_MS * 1000)
    return checkPace(named(upstream).notes, question, lagUs)
  },
  accounts: ({ upstream, fromUs, untilUs }) =>
    ({ accounts: sendsByAccount(named(upstream).notes, fromUs, untilUs) }),
})
