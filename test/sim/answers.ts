// What an upstream does with one request, drawn at random: status, headers, body, and time. The
// meaning of the headers is kept beside their text, so that checkers need not parse it.

import type { Prng } from '../../shards/base/prng.ts'
import type { FailureReason } from '../../shards/signals/response.ts'
import type { Answer, Said } from './observations.ts'
import type { Place, Scenario, Weather } from './scenario.ts'
import type { VirtualTime } from './virtual-time.ts'

const PACE_NAMES = ['x-aqueduct-rps', 'x-ezthrottle-rps', 'x-aquifer-rps']
const LIMIT_NAMES = [
  'x-aqueduct-max-concurrent', 'x-ezthrottle-max-concurrent', 'x-aquifer-max-concurrent',
]
const QUEUE_NAMES = [
  'x-aqueduct-account-queue', 'x-ezthrottle-account-queue', 'x-aquifer-account-queue',
]
const NONSENSE = ['0.49', '-3', 'fast', '1e3', '1000001', '', 'NaN', '0']
const OTHER_STATUSES = [201, 204, 301, 304, 400, 404, 409, 422]
const SERVER_ERRORS = [500, 502, 503, 504]
const FAILURES: readonly FailureReason[] = [
  'connection_error', 'dns_error', 'tls_error', 'protocol_error', 'response_headers_too_large',
]

/** The pace, limit and latency of a healthy upstream, which lets everything drain soon. */
const HEALTHY_PACE = 2000
const HEALTHY_LIMIT = 200

type Kind = keyof Pick<Weather, 'ok' | 'otherAnswer' | 'tooMany' | 'tooManyWait' | 'serverError' |
  'requestTimeout' | 'broken' | 'brokenMidway' | 'silent' | 'refused'>
const KINDS: readonly Kind[] = [
  'ok', 'otherAnswer', 'tooMany', 'tooManyWait', 'serverError', 'requestTimeout', 'broken',
  'brokenMidway', 'silent', 'refused',
]

/** Draws what happens to a request to `place` that is sent now. */
export function drawAnswer(
  prng: Prng, scenario: Scenario, place: number, healthy: boolean, time: VirtualTime,
): Answer {
  if (healthy) return healthyAnswer(prng)
  const { weather } = scenario.places[place] as Place
  const kind = pickKind(prng, weather)
  const headAfterUs = Math.round(
    10 ** (weather.latencyLow + prng.unit() * (weather.latencyHigh - weather.latencyLow)))
  const bodyUs = prng.chance(weather.slowBody) ? prng.below(2_000_000) : 0
  const hasHead = kind !== 'broken' && kind !== 'silent' && kind !== 'refused'
  const silentAfterHead = kind === 'silent' && prng.chance(0.3)
  const { headers, said } = hasHead || silentAfterHead
    ? drawHeaders(prng, weather, kind, time, headAfterUs)
    : { headers: {}, said: {} }
  const responseBytesMax = scenario.limits.responseBytesMax
  const bodyBytes = weather.bodyBytesMax === 0 ? 0 : prng.below(weather.bodyBytesMax + 1)
  return {
    headAfterUs, endAfterUs: headAfterUs + bodyUs, headers, said,
    status: hasHead || silentAfterHead ? statusOf(prng, kind) : 0,
    body: drawBody(prng, Math.min(bodyBytes, responseBytesMax)),
    truncated: bodyBytes > responseBytesMax,
    failure: failureOf(prng, kind),
  }
}

/** A random body of so many bytes: mostly text, sometimes not UTF-8. */
export function drawBody(prng: Prng, bytes: number): Uint8Array {
  const body = Buffer.alloc(bytes, prng.chance(0.2) ? 0xfe : 97 + prng.below(26))
  if (bytes >= 8) body.write(String(prng.uint32() % 1e8))
  return body
}

function healthyAnswer(prng: Prng): Answer {
  const headAfterUs = 1000 + prng.below(4000)
  return {
    headAfterUs, endAfterUs: headAfterUs, status: 200, body: new Uint8Array(0), truncated: false,
    headers: {
      'x-aqueduct-rps': `${HEALTHY_PACE}`, 'x-aqueduct-max-concurrent': `${HEALTHY_LIMIT}`,
    },
    said: { pacePerSecond: HEALTHY_PACE, concurrentMax: HEALTHY_LIMIT }, failure: undefined,
  }
}

function pickKind(prng: Prng, weather: Weather): Kind {
  let left = prng.below(KINDS.reduce((sum, kind) => sum + weather[kind], 0))
  for (const kind of KINDS) {
    left -= weather[kind]
    if (left < 0) return kind
  }
  return 'ok'
}

function statusOf(prng: Prng, kind: Kind): number {
  if (kind === 'otherAnswer') return prng.pick(OTHER_STATUSES)
  if (kind === 'tooMany' || kind === 'tooManyWait') return 429
  if (kind === 'serverError') return prng.pick(SERVER_ERRORS)
  return kind === 'requestTimeout' ? 408 : 200
}

function failureOf(prng: Prng, kind: Kind): Answer['failure'] {
  if (kind === 'silent') return 'silent'
  if (kind === 'refused') return 'request_refused'
  if (kind === 'brokenMidway') return 'connection_error'
  return kind === 'broken' ? prng.pick(FAILURES) : undefined
}

/** Random headers of all kinds, and what they mean together. */
function drawHeaders(
  prng: Prng, weather: Weather, kind: Kind, time: VirtualTime, headAfterUs: number,
): { headers: Record<string, string>; said: Said } {
  const headers: Record<string, string> = { 'content-type': 'text/plain' }
  const pace = say(prng, weather.saysPace, weather.paces)
  const limit = say(prng, weather.saysLimit, weather.limits)
  const queues = say(prng, weather.saysQueues, [true, false])
  const put = (names: readonly string[], text: string | undefined): boolean => {
    if (text === undefined && !prng.chance(weather.saysNonsense)) return false
    // A header of lower priority never replaces one of higher priority, whatever that says.
    const first = prng.below(names.length)
    headers[names[first] as string] = text ?? prng.pick(NONSENSE)
    if (prng.chance(0.2)) headers[names[names.length - 1] as string] ??= '77'
    return text !== undefined
  }
  const said = {
    ...(put(PACE_NAMES, pace?.toString()) && { pacePerSecond: pace as number }),
    ...(put(LIMIT_NAMES, limit?.toString()) && { concurrentMax: limit as number }),
    ...(put(QUEUE_NAMES, queues === undefined ? undefined : queues ? 'Enabled' : ' disabled') && {
      accountQueues: queues as boolean,
    }),
  }
  if (kind !== 'tooManyWait' && !(kind === 'serverError' && prng.chance(0.1))) {
    return { headers, said }
  }
  const waitMs = prng.below(weather.retryAfterMsMax)
  const asDate = prng.chance(0.2)
  const untilMs = Math.ceil((time.wallMs(time.nowUs() + headAfterUs) + waitMs) / 1000) * 1000
  headers['retry-after'] = asDate ? new Date(untilMs).toUTCString() : (waitMs / 1000).toFixed(3)
  // A date is evaluated when the head is received, which may be later; so its lower bound is 0.
  return { headers, said: { ...said, ...(!asDate && { retryAfterMs: waitMs }) } }
}

function say<T>(prng: Prng, chance: number, values: readonly T[]): T | undefined {
  return prng.chance(chance) ? prng.pick(values) : undefined
}

